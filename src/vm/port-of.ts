import { parseDevno } from '../ccw/index.js';
import type { Port, VmDevice } from './types.js';

/** What tells where a device is. */
export type DevicePlace = Pick<VmDevice, 'parentBus' | 'devfn' | 'devno'>;

/** The port that a device is in; undefined for what is on no bus with ports, or in none of its slots. */
export function portOf(
  ports: readonly Port[],
  { parentBus, devfn, devno }: DevicePlace,
): Port | undefined {
  const onBus = ports.filter((port) => port.busPath === parentBus);
  // A port with a bus to itself has everything on it, whatever its device number.
  if (onBus.length === 1) return onBus[0];
  const slot = devno === undefined ? devfn && devfn >> 3 : parseDevno(devno).ssid;
  return onBus.find((port) => port.slot === slot);
}

/** Whether what is at this place goes along when the port's slot is unplugged. */
export function isInPort(port: Port, ports: readonly Port[], place: DevicePlace): boolean {
  return portOf(ports, place)?.id === port.id;
}
