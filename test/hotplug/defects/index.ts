import { attachDefects } from './attaching.js';
import type { Defect } from './defect.js';
import { hostDefects } from './host.js';
import { iommufdDefects } from './iommufd.js';
import { recordDefects } from './records.js';
import { removalDefects } from './removals.js';

export const DEFECTS: readonly Defect[] = [
  ...removalDefects,
  ...attachDefects,
  ...hostDefects,
  ...iommufdDefects,
  ...recordDefects,
];
