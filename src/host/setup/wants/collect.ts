import type { DesiredState } from '../desired-state.js';
import type { SetupFacts } from '../facts.js';
import { early } from './early.js';
import { iommu } from './iommu.js';
import { parameters } from './parameters.js';
import { mergeWishes, type Wish, type Wishes } from './wish.js';

/** Every part of a desired state. */
const PARTS: readonly Wish[] = [iommu, early, parameters];

export function collectWishes(desired: DesiredState, facts: SetupFacts): Required<Wishes> {
  return mergeWishes(PARTS.map((part) => part(desired, facts)));
}
