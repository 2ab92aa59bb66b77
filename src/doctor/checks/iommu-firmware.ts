import { exists, listOrNone } from '../../host/reading.js';
import type { HostCheck } from '../check.js';
import { fail, ok, seen, skip } from '../finding.js';
import { readCpu, type Cpu } from '../read-cpu.js';

const TABLES = '/sys/firmware/acpi/tables';
const UNITS = '/sys/class/iommu';

interface Firmware {
  readonly id: string;
  readonly kind: Cpu['kind'];
  readonly table: string;
  readonly remedy: string;
}

function firmwareCheck({ id, kind, table, remedy }: Firmware): HostCheck {
  return {
    id,
    about: `on ${kind}: whether the firmware has the table ${table}`,
    needs: 'host',
    async run({ effects }) {
      const cpu = await readCpu(effects);
      if (cpu.kind !== kind) return skip(`the processor is not ${kind}`);
      const path = `${TABLES}/${table}`;
      if (await exists(effects, path))
        return ok(`the firmware has ${table}`, seen(path, 'present'));
      const units = await listOrNone(effects, UNITS);
      if (units.length > 0) {
        return ok(`an IOMMU works without ${table}`, seen(UNITS, units.join(', ')));
      }
      // Without ACPI the device tree names the IOMMU; what it makes is told by iommu.active.
      if (kind === 'arm' && !(await exists(effects, TABLES))) {
        return skip('the machine has no ACPI', seen(TABLES, 'absent'));
      }
      return fail(`the firmware has no ${table}`, remedy, seen(path, 'absent'));
    },
  };
}

/** On s390x the machine translates for every PCI function it shows. */
const s390: HostCheck = {
  id: 'iommu.firmware.s390',
  about: 'on s390x: whether the machine shows PCI functions, which it translates for',
  needs: 'host',
  async run({ effects }) {
    if ((await readCpu(effects)).kind !== 's390') return skip('the processor is not s390');
    const path = '/sys/bus/pci/devices';
    const functions = await listOrNone(effects, path);
    return functions.length === 0
      ? skip('there is no PCI function here', seen(path, 'empty'))
      : ok(`${functions.length} PCI functions`, seen(path, `${functions.length} functions`));
  },
};

export const firmwareChecks: readonly HostCheck[] = [
  firmwareCheck({
    id: 'iommu.firmware.intel',
    kind: 'intel',
    table: 'DMAR',
    remedy: 'switch VT-d on in the firmware',
  }),
  firmwareCheck({
    id: 'iommu.firmware.amd',
    kind: 'amd',
    table: 'IVRS',
    remedy: 'switch AMD-Vi (IOMMU) on in the firmware',
  }),
  firmwareCheck({
    id: 'iommu.firmware.arm',
    kind: 'arm',
    table: 'IORT',
    remedy: 'switch the SMMU on in the firmware',
  }),
  s390,
];
