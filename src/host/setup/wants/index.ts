export { recipeWords } from './artefacts.js';
export { collectWishes } from './collect.js';
export type {
  ArgumentWish,
  Effect,
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
