import type { Known } from '../../../known.js';
import type { HostDevice } from '../../types.js';
import { isVfioDriver } from '../../vfio-drivers.js';
import { moduleState, type SetupFacts } from '../facts.js';
import { modprobeBlock } from '../modprobe.js';
import { listElements } from '../command-line.js';
import { earlyNotes } from './early-notes.js';
import { initramfsFiles } from './initramfs.js';
import { EARLY_RULE } from './places.js';
import { HEADER, mergeWishes, type Effect, type Refusal, type Wish, type Wishes } from './wish.js';

/** Bytes of `ids` in drivers/vfio/pci/vfio_pci.c (6.12), without the terminator. */
const MAX_IDS_LENGTH = 1023;

interface Chosen {
  readonly selector: string;
  readonly method: 'bdf-rule' | 'ids';
  readonly device: HostDevice;
}

/** Devices that vfio-pci must have before their native drivers. */
export const early: Wish = (desired, facts) => {
  const wanted = (desired.early ?? []).filter(({ method }) => method !== 'none');
  if (wanted.length === 0) return {};
  const refused: Refusal[] = [];
  const chosen = wanted.flatMap(({ device: selector, method }) => {
    const found = facts.devices.get(selector);
    if (found?.known && method !== 'none') return [{ selector, method, device: found.value }];
    refused.push({
      item: `early.${selector}`,
      state: 'unmet',
      ...(facts.isMachine ? whyNot(selector, found) : IN_AN_IMAGE),
    });
    return [];
  });
  const blocked = findBlock(facts);
  if (blocked !== undefined) return { refused: [...refused, blocked] };
  const byRule = chosen.filter(({ method }) => method === 'bdf-rule');
  const byIds = chosen.filter(({ method }) => method === 'ids');
  const image =
    chosen.length === 0 ? {} : initramfsFiles(desired, facts, { withRule: byRule.length > 0 });
  const isInImage = (image.files ?? []).length > 0;
  const parts = [
    ...(byRule.length === 0 ? [] : [ruleWishes(byRule, isInImage)]),
    ...(byIds.length === 0 ? [] : [idsWishes(byIds, chosen, facts)]),
    image,
  ];
  const effects = facts.isMachine ? chosen.map(boundEffect) : [];
  const devices = chosen.map(({ device }) => device);
  return mergeWishes([{ refused, effects, notes: earlyNotes(devices, facts) }, ...parts]);
};

/** Addresses are a machine's own: in an image they would be right for one machine, if for any. */
const IN_AN_IMAGE = {
  reason: 'an image has no devices: which of them are early is for each machine to say',
  remedy: 'leave early to the machine: qmplug host apply FILE there',
};

function whyNot(selector: string, found: Known<HostDevice> | undefined) {
  return {
    reason: found === undefined || found.known ? `no device ${selector}` : found.reason,
    remedy: 'list what the host has: qmplug devices',
  };
}

const hex = (value: number) => value.toString(16).padStart(4, '0');

/**
 * A rule for each address. It asks for the ids too, so that another device which moved to the address is left
 * alone; the last assignment has the device probed again where vfio-pci was loaded before the rule was read.
 */
export function ruleLine({ bdf, vendorId, deviceId }: HostDevice): string {
  return [
    'ACTION=="add"',
    'SUBSYSTEM=="pci"',
    `KERNEL=="${bdf}"`,
    `ATTR{vendor}=="0x${hex(vendorId)}"`,
    `ATTR{device}=="0x${hex(deviceId)}"`,
    'ATTR{driver_override}="vfio-pci"',
    'RUN{builtin}+="kmod load vfio-pci"',
    'ATTR{[subsystem/pci]drivers_probe}="$kernel"',
  ].join(', ');
}

function ruleWishes(chosen: readonly Chosen[], isInImage: boolean): Wishes {
  const lines = chosen.flatMap(({ device }) => {
    const { bdf, vendorId, deviceId, subsystemVendorId, subsystemDeviceId } = device;
    const ids = `${hex(vendorId)}:${hex(deviceId)} subsystem ${hex(subsystemVendorId)}:${hex(subsystemDeviceId)}`;
    return [`# ${bdf}: ${ids}`, ruleLine(device)];
  });
  // A boot with vfio-pci switched off gives the devices to their own drivers.
  const guard = [
    'IMPORT{cmdline}="module_blacklist"',
    'ENV{module_blacklist}=="*vfio*pci*", GOTO="qmplug_vfio_end"',
  ];
  const content = `${[HEADER, ...guard, ...lines, 'LABEL="qmplug_vfio_end"'].join('\n')}\n`;
  return {
    files: [
      {
        item: 'early.rule',
        path: EARLY_RULE,
        content,
        refresh: isInImage ? ['initramfs'] : [],
        needsReboot: true,
        risk: 'boot',
      },
    ],
  };
}

/** A rule and ids are means: what counts is the driver that the device has. */
function boundEffect({ selector, device: { bdf, driver } }: Chosen): Effect {
  const has = driver === undefined ? 'has no driver' : `is bound to ${driver}`;
  return {
    item: `early.${selector}`,
    subject: bdf,
    from: ['early.rule', 'early.ids', 'initramfs', 'initramfs.content'],
    holds: driver !== undefined && isVfioDriver(driver),
    otherwise: 'pending-reboot',
    reason: `${bdf} ${has}, and vfio-pci takes it at a boot`,
    remedy: `reboot; if that was done: qmplug doctor --device ${bdf}`,
  };
}

/** Ids take every device that has them, so that a twin cannot be left to its own driver. */
function twinsOf(chosen: readonly Chosen[], byIds: readonly Chosen[], facts: SetupFacts) {
  const wanted = new Set(chosen.map(({ device }) => device.bdf));
  const ids = new Set(byIds.map(({ device }) => idsOf(device)));
  return facts.allDevices.filter((device) => ids.has(idsOf(device)) && !wanted.has(device.bdf));
}

const idsOf = ({ vendorId, deviceId }: HostDevice) => `${hex(vendorId)}:${hex(deviceId)}`;

function idsWishes(byIds: readonly Chosen[], chosen: readonly Chosen[], facts: SetupFacts): Wishes {
  const [twin] = twinsOf(chosen, byIds, facts);
  if (twin !== undefined) {
    const reason = `${twin.bdf} has the ids ${idsOf(twin)} too: vfio-pci would take it as well`;
    const remedy = `use the method bdf-rule, or name ${twin.bdf} in early too`;
    return { refused: [{ item: 'early.ids', state: 'conflicting', reason, remedy }] };
  }
  const elements = [...new Set(byIds.map(({ device }) => idsOf(device)))];
  if (elements.join(',').length > MAX_IDS_LENGTH) {
    const reason = `the ids take more than ${MAX_IDS_LENGTH} characters`;
    return {
      refused: [{ item: 'early.ids', state: 'unmet', reason, remedy: 'use the method bdf-rule' }],
    };
  }
  return { arguments: [{ item: 'early.ids', key: 'vfio-pci.ids', elements }] };
}

/** Whoever keeps vfio-pci from being loaded contradicts every early device. */
function findBlock(facts: SetupFacts): Refusal | undefined {
  const { configured } = facts.kernelArguments;
  const item = 'early';
  for (const key of ['module_blacklist', 'modprobe.blacklist', 'rd.driver.blacklist']) {
    const names = configured.known ? listElements(configured.value.words, key) : [];
    const name = names.find((each) => each.replaceAll('-', '_') === 'vfio_pci');
    if (name === undefined) continue;
    const reason = `${key}=${name} is configured: it keeps vfio-pci from being loaded`;
    return { item, state: 'conflicting', reason, remedy: `remove ${name} from ${key}=` };
  }
  const block = modprobeBlock(facts.modprobe, 'vfio_pci');
  if (block !== undefined) {
    const reason = `${block.path} has "${block.line}"`;
    return { item, state: 'conflicting', reason, remedy: `remove that line from ${block.path}` };
  }
  if (moduleState(facts, 'vfio_pci') !== 'absent') return undefined;
  const reason = 'no installed kernel has vfio_pci';
  return { item, state: 'unmet', reason, remedy: 'install a kernel with CONFIG_VFIO_PCI' };
}
