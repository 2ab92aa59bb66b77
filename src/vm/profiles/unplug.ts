import type { UnplugBehaviour } from './profile.js';

/** Through the registers of ICH9, PIIX4 or the generic event device; a Linux guest answers at once. */
export const ACPI: UnplugBehaviour = {
  takes: 'slot',
  asksGuest: true,
  resetCompletes: true,
  typicalMs: 70,
};

/** Five seconds for the attention button and one for power, both in the guest's pciehp. */
export const NATIVE: UnplugBehaviour = {
  takes: 'slot',
  asksGuest: true,
  resetCompletes: false,
  typicalMs: 6_300,
};

/** The button of a conventional bridge: the same five seconds in the guest's shpchp. */
export const SHPC: UnplugBehaviour = NATIVE;
