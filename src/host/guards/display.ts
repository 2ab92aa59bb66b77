import type { HostDevice } from '../types.js';
import { isHarmlessDriver } from '../vfio-drivers.js';
import type { Guard } from './guard.js';

/**
 * VGA and other display controllers. 3D controllers (0x0302) have no connectors, so they neither
 * show the console nor stand in for one.
 */
function isDisplay({ classCode }: HostDevice): boolean {
  const subclass = classCode >>> 8;
  return subclass === 0x0300 || subclass === 0x0380;
}

/** The console can be on it: a native driver, or the firmware's frame buffer on the boot VGA. */
function showsConsole(device: HostDevice): boolean {
  if (!isDisplay(device)) return false;
  return device.driver === undefined ? device.bootVga : !isHarmlessDriver(device.driver);
}

/** The display the operator may be looking at. */
export const displayGuard: Guard = {
  subject: 'display',
  find: async ({ devices }, device) => {
    if (!showsConsole(device)) return [];
    const { bdf, bootVga, driver = 'the firmware frame buffer' } = device;
    const others = [...devices.values()].filter(
      (other) => other.bdf !== bdf && showsConsole(other),
    );
    const boot = bootVga ? ' and the boot VGA' : '';
    const [first] = others;
    return [
      first === undefined
        ? {
            bdf,
            level: 'block',
            reason: 'in-use.display',
            evidence: `it is the only display of the host${boot} (${driver})`,
            remedy: 'make sure of another way in (serial console, SSH) before giving it away',
          }
        : {
            bdf,
            level: 'warn',
            reason: 'in-use.display',
            evidence: `it is a display of the host${boot} (${driver}); ${first.bdf} remains`,
            remedy: 'move the console and the display manager to the other display',
          },
    ];
  },
};
