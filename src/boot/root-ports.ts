import { CHASSIS, rootPortArgument } from './arguments.js';
import type { Layout, PlannedPart } from './layout.js';
import type { PlannedPort, PlannedWindow } from './types.js';

/** Root ports, one for each window. */
export function planRootPorts(windows: readonly PlannedWindow[], layout: Layout): PlannedPart {
  const planned = windows.map((window, index) => {
    const seat = layout.seat(index, windows.length);
    const port: PlannedPort = {
      id: `rp${index}`,
      kind: 'root-port',
      bus: seat.bus,
      chassis: CHASSIS,
      slot: layout.slot(),
      addr: seat.addr,
      window,
      capacity: 1,
      ...(seat.numaNode === undefined ? {} : { numaNode: seat.numaNode }),
    };
    return { port, args: rootPortArgument(port.id, port.slot ?? 0, seat, window) };
  });
  return {
    args: planned.flatMap(({ args }) => args),
    ports: planned.map(({ port }) => port),
  };
}
