import { exists } from '../../host/reading.js';
import { parseSelector } from '../../host/selector/index.js';
import type { DeviceCheck } from '../check.js';
import { fail, ok, seen, skip, unknownAnswer, type Evidence } from '../finding.js';

const path = (bdf: string, name: string) => `/sys/bus/pci/devices/${bdf}/${name}`;
const hex = (value: number, width: number) => `0x${value.toString(16).padStart(width, '0')}`;

export const identity: DeviceCheck = {
  id: 'dev.identity',
  about: 'whether the device is the one that was pinned or expected',
  needs: 'device',
  // Where it is not, the selector has been refused, and no check of the device runs.
  async run({ bdf, selector, record: { vendorId, deviceId } }) {
    const { pin, expect } = parseSelector(selector);
    if (pin === undefined && expect === undefined) return skip('nothing is expected of it');
    const id = [vendorId, deviceId].map((each) => (each.known ? hex(each.value, 4) : 'unknown'));
    return ok('it is', seen(path(bdf, 'device'), id.join(':')));
  },
};

const CONFIG_BYTES = 64;

export const alive: DeviceCheck = {
  id: 'dev.alive',
  about: 'with `--deep`: whether the device still answers on the bus',
  needs: 'device',
  async run({ effects, bdf, deep }) {
    if (!deep) return skip('asked for with --deep: it wakes a sleeping device');
    const config = path(bdf, 'config');
    const bytes = await effects.readBytes(config, CONFIG_BYTES);
    if (bytes.length < CONFIG_BYTES) {
      return unknownAnswer(
        `only ${bytes.length} bytes were read`,
        undefined,
        seen(config, 'short'),
      );
    }
    // A read that nobody answers returns all ones (PCI Express 6.0, 2.3.2).
    const isGone = bytes.every((byte) => byte === 0xff);
    const start = Buffer.from(bytes.subarray(0, 8)).toString('hex');
    return isGone
      ? fail(
          'it answers nothing: all bytes are 0xff',
          `echo 1 > ${path(bdf, 'remove')}; echo 1 > /sys/bus/pci/rescan; else switch the host off`,
          seen(config, start),
        )
      : ok('it answers', seen(config, start));
  },
};

/** Base class of bridges; 0x0680 are others, which no bus hangs below: NVSwitch (pci.ids). */
const BRIDGE = 0x06;
const OTHER_BRIDGE = 0x0680;

export const bridge: DeviceCheck = {
  id: 'dev.bridge',
  about: 'whether the device is an endpoint, and no bridge',
  needs: 'device',
  async run({ bdf, record: { classCode } }) {
    if (!classCode.known) return unknownAnswer(classCode.reason);
    const read = seen(path(bdf, 'class'), hex(classCode.value, 6));
    if (classCode.value >>> 16 !== BRIDGE) return ok('an endpoint', read);
    return classCode.value >>> 8 === OTHER_BRIDGE
      ? ok('a bridge without a bus below it, as NVSwitch is', read)
      : fail('it is a bridge', 'name the device behind it', read);
  },
};

export const header: DeviceCheck = {
  id: 'dev.hdr',
  about: 'whether the device has the header of an endpoint: vfio-pci takes no other',
  needs: 'device',
  async run({ effects, bdf }) {
    // There exactly for headers of type 1 and 2, and read without waking the device: Linux
    // drivers/pci/pci-sysfs.c, pci_bridge_attrs_are_visible (6.12).
    const attribute = path(bdf, 'secondary_bus_number');
    const isBridge = await exists(effects, attribute);
    const read: Evidence = seen(attribute, isBridge ? 'present' : 'absent');
    return isBridge
      ? fail('it has the header of a bridge', 'name the device behind it', read)
      : ok('an endpoint', read);
  },
};
