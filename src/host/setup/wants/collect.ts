import type { DesiredState } from '../desired-state.js';
import type { SetupFacts } from '../facts.js';
import { early } from './early.js';
import { artefacts } from './artefacts.js';
import { fallback } from './fallback.js';
import { hugepages } from './hugepages.js';
import { iommu } from './iommu.js';
import { isolation } from './isolation.js';
import { kvmfr } from './kvmfr.js';
import { memlock } from './memlock.js';
import { parameters } from './parameters.js';
import { mergeWishes, type Wish, type Wishes } from './wish.js';

/** Every part of a desired state. */
const PARTS: readonly Wish[] = [
  iommu,
  isolation,
  early,
  parameters,
  kvmfr,
  hugepages,
  memlock,
  fallback,
  artefacts,
];

export function collectWishes(desired: DesiredState, facts: SetupFacts): Required<Wishes> {
  return mergeWishes(PARTS.map((part) => part(desired, facts)));
}
