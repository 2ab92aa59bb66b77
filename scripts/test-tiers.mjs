// The tiers of the test run, cheapest first, and what a machine needs for each.
import { missingFor } from './lab/capability.mjs';

/**
 * @typedef {object} Tier
 * @property {string} name of the project in vitest.config.ts
 * @property {boolean} lab whether the lab's part of the set-up is needed
 * @property {() => readonly string[]} missing why this machine cannot run it; empty when it can
 */

/** @type {readonly Tier[]} */
export const TIERS = [
  { name: 'unit', lab: false, missing: () => [] },
  { name: 'replay', lab: false, missing: () => [] },
  { name: 'qemu', lab: true, missing: () => missingFor('guest') },
  { name: 'lab', lab: true, missing: () => missingFor('vfio-host') },
];
