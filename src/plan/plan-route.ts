import type { JsonObject } from '../json.js';
import type { GrantAccess, HotplugStep } from './steps.js';
import { IOMMUFD_ID, type ChosenRoute } from './route.js';

/** The steps and properties by which a route is taken. */
export interface RouteSteps {
  /** Of GrantAccess. */
  grant(devices: readonly string[]): Pick<GrantAccess, 'route' | 'devices'>;
  /** Before the first AddDevice. */
  readonly before: readonly HotplugStep[];
  /** Of the device with this id. */
  properties(id: string): JsonObject;
}

/** Under which names QEMU is handed the open nodes. */
const IOMMU_FD = 'qmplug-iommu';
const deviceFd = (id: string) => `qmplug-${id}`;

export function stepsOfRoute({ kind, object }: ChosenRoute): RouteSteps {
  if (kind === 'group' || object === undefined) {
    return { grant: () => ({}), before: [], properties: () => ({}) };
  }
  const handsOver = kind === 'descriptors';
  return {
    grant: (devices) => ({ route: kind, devices }),
    before:
      object === IOMMUFD_ID
        ? [{ kind: 'AddIommufd', id: object, ...(handsOver ? { fd: IOMMU_FD } : {}) }]
        : [],
    properties: (id) => ({ iommufd: object, ...(handsOver ? { fd: deviceFd(id) } : {}) }),
  };
}
