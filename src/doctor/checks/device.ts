import { RefusedError } from '../../errors.js';
import { selectDevice } from '../../host/selector/index.js';
import { findUses } from '../../host/guards/index.js';
import { findCulprits } from '../../host/viability.js';
import type { DeviceCheck, Subject } from '../check.js';
import { fail, ok, seen, skip, unknownAnswer, warn } from '../finding.js';
import { alive, bridge, header, identity } from './device-kind.js';

const existence: DeviceCheck = {
  id: 'dev.exists',
  about: 'whether the host has the device',
  needs: 'device',
  // A device that is not there is told before any check of it runs.
  async run({ bdf, record }) {
    const path = `/sys/bus/pci/devices/${bdf}`;
    return record.path.known
      ? ok('it is there', seen(path, record.path.value))
      : unknownAnswer(record.path.reason);
  },
};

const quirk: DeviceCheck = {
  id: 'dev.quirk_class',
  about: 'whether the device may be given away at all: no bridge, no part of the host',
  needs: 'device',
  async run({ effects, bdf, record }) {
    const { classCode } = record;
    if (!classCode.known) return unknownAnswer(classCode.reason);
    const read = seen(
      `/sys/bus/pci/devices/${bdf}/class`,
      `0x${classCode.value.toString(16).padStart(6, '0')}`,
    );
    try {
      await selectDevice({ effects }, bdf, { guarded: true, onlyFree: false });
      return ok('no rule denies it', read);
    } catch (error) {
      if (!(error instanceof RefusedError) || error.code !== 'DENIED') throw error;
      return fail(error.message, error.remedy ?? 'name the device behind it', read);
    }
  },
};

const group: DeviceCheck = {
  id: 'dev.group',
  about: 'whether the device has an IOMMU group, of its own',
  needs: 'device',
  async run({ bdf, record: { iommuGroup, companions } }) {
    const path = `/sys/bus/pci/devices/${bdf}/iommu_group`;
    if (!iommuGroup.known) return unknownAnswer(iommuGroup.reason);
    if (!companions.known) return unknownAnswer(companions.reason);
    if (iommuGroup.value === undefined) {
      return fail(
        'it is in no IOMMU group',
        'see iommu.active: switch the IOMMU on',
        seen(path, 'absent'),
      );
    }
    const others = companions.value.group;
    const read = seen(path, `${iommuGroup.value}`);
    return others.length === 0
      ? ok(`alone in group ${iommuGroup.value}`, read)
      : warn(
          `in group ${iommuGroup.value} with ${others.join(', ')}`,
          'hand them over too: --members group; or use another slot',
          read,
        );
  },
};

const viable: DeviceCheck = {
  id: 'dev.group_viable',
  about: 'whether no other driver keeps VFIO from the group',
  needs: 'device',
  async run({ bdf, host, function: read }) {
    const { iommuGroup } = await read();
    if (iommuGroup === undefined) return skip('it is in no IOMMU group: see dev.group');
    const culprits = findCulprits(await host(), iommuGroup, new Set([bdf]));
    const [first] = culprits;
    const evidence = culprits.map(({ name, driver }) =>
      seen(`/sys/bus/pci/devices/${name}/driver`, driver),
    );
    return first === undefined
      ? ok(
          `group ${iommuGroup} is viable`,
          seen(`/sys/kernel/iommu_groups/${iommuGroup}/devices`, 'viable'),
        )
      : fail(
          `group ${iommuGroup} also holds ${culprits.map(({ name, driver }) => `${name} (${driver})`).join(', ')}`,
          first.remedy,
          ...evidence,
        );
  },
};

const companions: DeviceCheck = {
  id: 'dev.companions',
  about: 'whether other functions belong to the device',
  needs: 'device',
  async run({ effects, bdf, record, host, vmPid }) {
    if (!record.companions.known) return unknownAnswer(record.companions.reason);
    const { slot, consumers } = record.companions.value;
    const others = [...new Set([...slot, ...consumers])];
    const read = seen(`/sys/bus/pci/devices/${bdf}`, others.join(', ') || 'alone');
    if (others.length === 0) return ok('none', read);
    const { devices } = await host();
    const uses = await findUses(effects, others, { devices, vmPid });
    const used = [...uses.values()].flat().find(({ reason }) => reason.startsWith('in-use.'));
    return used?.level === 'block'
      ? fail(`${used.bdf} of the same device is in use: ${used.evidence}`, used.remedy, read)
      : warn(`${others.join(', ')} of the same device`, 'hand them over too: --members slot', read);
  },
};

const duplicates: DeviceCheck = {
  id: 'dev.dup_ids',
  about: 'whether other devices have the same vendor and device id',
  needs: 'device',
  async run({ bdf, host, function: read }) {
    const { vendorId, deviceId } = await read();
    const same = [...(await host()).devices.values()].filter(
      (each) => each.bdf !== bdf && each.vendorId === vendorId && each.deviceId === deviceId,
    );
    const evidence = seen(
      '/sys/bus/pci/devices',
      same.map((each) => each.bdf).join(', ') || 'none',
    );
    return same.length === 0
      ? ok('none', evidence)
      : warn(
          'vfio_pci.ids= would take all of them',
          `bind by address: qmplug host bind ${bdf}`,
          evidence,
        );
  },
};

export const deviceSubject: Subject = {
  name: 'device',
  checks: [
    existence,
    identity,
    alive,
    bridge,
    header,
    quirk,
    group,
    viable,
    companions,
    duplicates,
  ],
};
