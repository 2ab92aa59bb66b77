export { collectWishes } from './collect.js';
export type {
  ArgumentWish,
  Note,
  Refusal,
  RefreshName,
  Risk,
  Satisfied,
  WantedAttribute,
  WantedFile,
  WantedPair,
  Wishes,
} from './wish.js';
