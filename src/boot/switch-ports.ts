import { CHASSIS, deviceArgument, FIRMWARE_DECIDES, rootPortArgument } from './arguments.js';
import type { Layout, PlannedPart } from './layout.js';
import type { PlannedPort } from './types.js';

/** Downstream ports of one switch: the devices of its internal bus. */
export const PORTS_PER_SWITCH = 32;

/** How many switches it takes. */
export function switchCount(ports: number): number {
  return Math.ceil(ports / PORTS_PER_SWITCH);
}

/**
 * Switches, each behind a root port of its own: the upstream port must be there at the start with all of its
 * downstream ports. Their windows cannot be asked for, as only root ports carry hints for the firmware.
 */
export function planSwitchPorts(count: number, layout: Layout): PlannedPart {
  const args: string[] = [];
  const ports: PlannedPort[] = [];
  const switches = switchCount(count);
  for (let index = 0; index < switches; index += 1) {
    const id = `sw${index}`;
    const seat = layout.seat(index, switches);
    args.push(...rootPortArgument(id, layout.slot(), seat, FIRMWARE_DECIDES));
    args.push(...deviceArgument(['x3130-upstream', `id=${id}up`, `bus=${id}`, 'addr=0x0']));
    const below = Math.min(PORTS_PER_SWITCH, count - ports.length);
    for (let device = 0; device < below; device += 1) {
      const port: PlannedPort = {
        id: `sp${ports.length}`,
        kind: 'downstream-port',
        bus: `${id}up`,
        chassis: CHASSIS,
        slot: layout.slot(),
        addr: `0x${device.toString(16)}`,
        window: FIRMWARE_DECIDES,
        capacity: 1,
        ...(seat.numaNode === undefined ? {} : { numaNode: seat.numaNode }),
      };
      ports.push(port);
      args.push(
        ...deviceArgument([
          'xio3130-downstream',
          `id=${port.id}`,
          `bus=${port.bus}`,
          `addr=${port.addr}`,
          `chassis=${CHASSIS}`,
          `slot=${port.slot}`,
        ]),
      );
    }
  }
  return { args, ports };
}
