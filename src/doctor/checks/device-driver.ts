import { exists } from '../../host/reading.js';
import { chooseVfioModule } from '../../host/variant.js';
import { isSameDriver, isVfioDriver, normaliseDriver } from '../../host/vfio-drivers.js';
import type { DeviceCheck, Subject } from '../check.js';
import { fail, ok, seen, unknownAnswer, warn } from '../finding.js';
import { readParameter } from '../read-module.js';

const path = (bdf: string, name: string) => `/sys/bus/pci/devices/${bdf}/${name}`;

const driverCheck: DeviceCheck = {
  id: 'dev.driver',
  about: 'which driver the device is bound to',
  needs: 'device',
  async run({ bdf, uses, record: { driver } }) {
    if (!driver.known) return unknownAnswer(driver.reason);
    const read = seen(path(bdf, 'driver'), driver.value ?? 'none');
    if (driver.value === undefined) return ok('no driver has it', read);
    if (isVfioDriver(driver.value)) return ok(`${driver.value} has it`, read);
    // An unbind under an open node of such a device never comes back.
    const holder = (await uses()).find(
      ({ level, reason }) => level === 'block' && reason === 'in-use.open',
    );
    return holder !== undefined
      ? fail(`${driver.value} cannot let it go: ${holder.evidence}`, holder.remedy, read)
      : warn(
          `${driver.value} has it, and will be unbound`,
          `qmplug host bind ${bdf}; or leave it to attach`,
          read,
        );
  },
};

const variant: DeviceCheck = {
  id: 'dev.variant',
  about: 'whether the device is on the VFIO driver made for it',
  needs: 'device',
  async run({ effects, bdf, record: { driver, modalias } }) {
    if (!driver.known) return unknownAnswer(driver.reason);
    if (!modalias.known) return unknownAnswer(modalias.reason);
    const best = await chooseVfioModule(effects, modalias.value);
    const read = [
      seen(path(bdf, 'modalias'), modalias.value ?? 'none'),
      seen(path(bdf, 'driver'), driver.value ?? 'none'),
    ];
    const bound = driver.value;
    return bound === undefined || !isVfioDriver(bound) || isSameDriver(bound, best)
      ? ok(`the best VFIO driver is ${best}`, ...read)
      : warn(
          `on ${bound}, and ${best} is made for it`,
          `qmplug host release ${bdf}; qmplug host bind ${bdf}`,
          ...read,
        );
  },
};

/** Linux drivers/vfio/pci/vfio_pci.c, vfio_pci_dev_in_denylist (6.12): QAT, DSA and IAX of Intel. */
const DENIED_INTEL = [0x19e2, 0x19e3, 0x37c8, 0x37c9, 0x0435, 0x0443, 0x0b25, 0x0cfe];

const denylist: DeviceCheck = {
  id: 'dev.denylist',
  about: 'whether vfio-pci refuses the device as unsafe',
  needs: 'device',
  async run({ effects, bdf, record: { vendorId, deviceId } }) {
    if (!vendorId.known) return unknownAnswer(vendorId.reason);
    if (!deviceId.known) return unknownAnswer(deviceId.reason);
    const hex = (value: number) => value.toString(16).padStart(4, '0');
    const id = `${hex(vendorId.value)}:${hex(deviceId.value)}`;
    const read = seen(path(bdf, 'device'), id);
    const isListed = vendorId.value === 0x8086 && DENIED_INTEL.includes(deviceId.value);
    if (!isListed) return ok('it is not listed', read);
    const disabled = await readParameter(effects, 'vfio_pci', 'disable_denylist');
    return disabled?.on
      ? warn(
          'listed, and the list is off',
          'remove vfio_pci.disable_denylist',
          read,
          disabled.evidence,
        )
      : fail('vfio-pci refuses it', 'if you trust the guest: vfio_pci.disable_denylist=1', read);
  },
};

const override: DeviceCheck = {
  id: 'dev.override',
  about: 'whether someone else has set which driver takes the device',
  needs: 'device',
  async run({ effects, bdf, record: { driverOverride } }) {
    if (!driverOverride.known) return unknownAnswer(driverOverride.reason);
    const controlled = `/etc/driverctl.d/pci-${bdf}`;
    const read = seen(path(bdf, 'driver_override'), driverOverride.value ?? 'none');
    if (await exists(effects, controlled)) {
      const remedy = `driverctl unset-override ${bdf}`;
      return warn('driverctl manages the device too', remedy, seen(controlled, 'present'), read);
    }
    const wanted = driverOverride.value;
    if (wanted === undefined || isVfioDriver(wanted)) return ok('nobody', read);
    const drivers = await effects.list('/sys/bus/pci/drivers');
    const isThere = drivers.some((name) => normaliseDriver(name) === normaliseDriver(wanted));
    const remedy = `echo > ${path(bdf, 'driver_override')}`;
    return isThere
      ? warn(`${wanted} is to take it`, remedy, read)
      : fail(`${wanted} is to take it, and is no driver here`, remedy, read);
  },
};

export const driverSubject: Subject = {
  name: 'device: driver',
  checks: [driverCheck, variant, denylist, override],
};
