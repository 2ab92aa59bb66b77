// The tiers of the test run, cheapest first, and what a machine needs for each.
import { ARCHITECTURES } from './lab/architectures.mjs';
import { missingFor, missingForMachine } from './lab/capability.mjs';

/**
 * @typedef {object} Tier
 * @property {string} name of the project in vitest.config.ts
 * @property {readonly ('tools' | 'lab' | 'docker')[]} setUp the parts of scripts/setup.sh that it needs, node_modules apart
 * @property {() => readonly string[]} missing why this machine cannot run it; empty when it can
 */

function missingMachines() {
  const names = /** @type {import('./lab/architectures.mjs').ArchitectureName[]} */ (
    Object.keys(ARCHITECTURES)
  );
  return names.flatMap(missingForMachine);
}

/** @type {readonly Tier[]} */
export const TIERS = [
  { name: 'unit', setUp: ['tools'], missing: () => [] },
  { name: 'replay', setUp: [], missing: () => [] },
  {
    name: 'qemu',
    setUp: ['lab'],
    missing: () => [
      ...new Set([...missingFor('guest'), ...missingFor('ovmf'), ...missingMachines()]),
    ],
  },
  { name: 'lab', setUp: ['lab'], missing: () => missingFor('vfio-host') },
  { name: 'container', setUp: ['lab', 'docker'], missing: () => missingFor('container') },
];
