import { formatDevno, parseDevno } from '../ccw/index.js';
import type { VmDevice } from '../vm/types.js';
import type { AddDevice } from './steps.js';

/** The device that a step adds, as a snapshot will show it. */
export function deviceOf({
  id,
  driver,
  busPath,
  devfn,
  addr,
  host,
  properties,
}: AddDevice): VmDevice {
  const { iommufd } = properties;
  const isChannel = devfn === undefined && addr !== '';
  return {
    id,
    path: `/machine/peripheral/${id}`,
    type: driver,
    parentBus: busPath,
    devfn,
    host,
    sysfsdev: undefined,
    ...(typeof iommufd === 'string' ? { iommufd } : {}),
    ...(isChannel ? { devno: formatDevno(parseDevno(addr)) } : {}),
  };
}
