import { readAttribute } from '../../host/reading.js';
import type { DeviceCheck, Subject } from '../check.js';
import { fail, ok, seen, skip, unknownAnswer, warn } from '../finding.js';
import { link, rebar } from './device-link.js';
import { vfToken } from './vf-token.js';
import { vgpuFramework } from './vgpu.js';

const path = (bdf: string, name: string) => `/sys/bus/pci/devices/${bdf}/${name}`;

const bootVga: DeviceCheck = {
  id: 'dev.boot_vga',
  about: 'whether the firmware drew its screen with it',
  needs: 'device',
  async run({ bdf, uses, record: { bootVga: isBoot } }) {
    if (!isBoot.known) return unknownAnswer(isBoot.reason);
    const read = seen(path(bdf, 'boot_vga'), isBoot.value ? '1' : '0 or absent');
    if (!isBoot.value) return ok('no', read);
    const only = (await uses()).find(
      ({ level, reason }) => level === 'block' && reason === 'in-use.display',
    );
    return only === undefined
      ? warn(
          'the console of the host is likely on it',
          'make another display the first in the firmware',
          read,
        )
      : fail(`it shows the host's console, and ${only.evidence}`, only.remedy, read);
  },
};

/** They reset this function and no other; Linux drivers/pci/pci.c, pci_reset_fn_methods (6.12). */
const GOOD_RESETS = ['flr', 'af_flr', 'device_specific', 'acpi', 'pm'];

const reset: DeviceCheck = {
  id: 'dev.reset',
  about: 'whether the device can be reset by itself between two users',
  needs: 'device',
  async run({ bdf, desired, record: { resetMethods } }) {
    if (!resetMethods.known) return unknownAnswer(resetMethods.reason);
    const methods = resetMethods.value;
    const read = seen(path(bdf, 'reset_method'), methods.join(' ') || 'none');
    const remedy = 'hand over everything on its bus: --members group';
    if (methods.length === 0 && desired?.devices?.requireReset === true) {
      const why = 'it cannot be reset, which the desired state asks of devices';
      return fail(why, 'use another device, or set devices.requireReset to false', read);
    }
    return methods.some((method) => GOOD_RESETS.includes(method))
      ? ok(`by ${methods.join(', ')}`, read)
      : warn(
          methods.length === 0 ? 'it cannot be reset' : `only by ${methods.join(', ')}`,
          remedy,
          read,
        );
  },
};

const power: DeviceCheck = {
  id: 'dev.power',
  about: 'whether the device sleeps',
  needs: 'device',
  async run({ effects, bdf }) {
    // Told from the kernel's memory: reading it does not wake the device (pci-sysfs.c, power_state_show).
    const state = await readAttribute(effects, path(bdf, 'power_state'));
    if (state === undefined)
      return skip('the kernel does not tell', seen(path(bdf, 'power_state'), 'absent'));
    const read = seen(path(bdf, 'power_state'), state);
    return state === 'D3cold'
      ? warn(
          'it has no power; the first access is slow',
          `echo on > ${path(bdf, 'power/control')}`,
          read,
        )
      : ok(state, read);
  },
};

export const hardwareSubject: Subject = {
  name: 'device: hardware',
  checks: [bootVga, reset, vfToken, rebar, link, power, vgpuFramework],
};
