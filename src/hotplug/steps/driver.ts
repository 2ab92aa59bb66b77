import type { StepHandler } from '../../engine/index.js';
import { bindToVfio, recordBinding, type BindingRecord } from '../../host/binding.js';
import { readDriver } from '../../host/pci-function.js';
import { readGroups } from '../../host/inventory.js';
import { reprobeSiblings, restoreBinding } from '../../host/restore-binding.js';
import { isSameDriver } from '../../host/vfio-drivers.js';
import type { Bdf } from '../../pci/pci-address.js';
import type { BindDriver, RestoreDriver } from '../../plan/steps.js';
import type { StepContext } from '../context.js';

/** What BindDriver found, as the journal keeps it. */
interface DriverRecord {
  readonly binding: BindingRecord;
  /** The group's members then: one that comes later finds its driver refused and needs another offer. */
  readonly members: readonly Bdf[];
}

/** Takes a function from its driver and gives it to VFIO. */
export const bindDriver: StepHandler<BindDriver, StepContext, DriverRecord> = {
  prepare: async ({ bdf, group }, { host }) => ({
    binding: await recordBinding(host, bdf),
    members: await membersOf(host, group),
  }),
  async do({ bdf, driver }, { host, clock }) {
    await bindToVfio(host, bdf, driver, { clock });
  },
  async undo(_step, context, record) {
    if (record !== undefined) await restore(context, record);
  },
  async probe({ bdf, driver }, { host }) {
    try {
      const bound = await readDriver(host, bdf);
      return bound !== undefined && isSameDriver(bound, driver) ? 'present' : 'absent';
    } catch {
      return 'unreadable';
    }
  },
};

/** Gives a function back to the driver it had, and offers newcomers of its group to theirs. */
export const restoreDriver: StepHandler<RestoreDriver, StepContext> = {
  async do({ group, record }, context) {
    const driverRecord = record as DriverRecord;
    await restore(context, driverRecord);
    const now = await membersOf(context.host, group);
    const newcomers = now.filter((member) => !driverRecord.members.includes(member));
    await reprobeSiblings(context.host, newcomers);
  },
  async probe({ bdf, record }, { host }) {
    try {
      const { driver } = (record as DriverRecord).binding;
      return ((await readDriver(host, bdf)) ?? null) === driver ? 'present' : 'absent';
    } catch {
      return 'unreadable';
    }
  },
};

async function restore({ host, clock, logger }: StepContext, record: DriverRecord): Promise<void> {
  // Either the VM never had it or AwaitRemoval has seen QEMU close it; nobody else opens what is reserved.
  const result = await restoreBinding(host, record.binding, { clock, allowUnknownHolders: true });
  logger.info(
    { bdf: record.binding.bdf, driver: record.binding.driver, result },
    'driver restored',
  );
}

async function membersOf(host: StepContext['host'], group: number): Promise<readonly Bdf[]> {
  return (await readGroups(host)).get(group)?.members ?? [];
}
