import type { PortBus } from './profile.js';

/** The id of a port: `rp0`, `pb0.5`, `pci.0.5`, `ccw1`, `ap`. */
export function portIdOf({ id, kind, slots }: PortBus, slot: number): string {
  if (kind === 'ccw-bridge') return `${id}${slot}`;
  return slots.length === 1 ? id : `${id}.${slot}`;
}
