import type { StepHandler } from '../../engine/index.js';
import { HostError } from '../../errors.js';
import { bindToVfio, recordBinding, type BindingRecord } from '../../host/binding.js';
import { findDeath } from '../../host/device-life.js';
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
  async probe({ bdf, record }, { host, quarantine }) {
    try {
      const { driver } = (record as DriverRecord).binding;
      if ((await quarantine.read(bdf)) !== undefined) return 'present';
      return ((await readDriver(host, bdf)) ?? null) === driver ? 'present' : 'absent';
    } catch {
      return 'unreadable';
    }
  },
};

/**
 * Brings the driver back, unless the device is dead: its driver could hang on it for ever, and whoever got it
 * next would have nothing. It stays where it is, in quarantine, with the note of where it belongs.
 */
async function restore(context: StepContext, { binding }: DriverRecord): Promise<void> {
  const { host, clock, logger } = context;
  if (await isDead(context, binding)) return;
  // Either the VM never had it or AwaitRemoval has seen QEMU close it; nobody else opens what is reserved.
  const result = await restoreBinding(host, binding, { clock, allowUnknownHolders: true });
  logger.info({ bdf: binding.bdf, driver: binding.driver, result }, 'driver restored');
}

async function isDead(
  { host, quarantine, logger }: StepContext,
  binding: BindingRecord,
): Promise<boolean> {
  const { bdf, driver } = binding;
  const current = (await readDriver(host, bdf)) ?? null;
  if (driver === null || current === driver) return false;
  const death = await findDeath(host, bdf);
  if (!death.known) {
    throw new HostError('HOST_UNREADABLE', `${bdf}: whether it still works: ${death.reason}`, {
      remedy: 'see what the kernel says of it: dmesg | tail',
      details: { device: bdf },
    });
  }
  if (death.value === undefined) return false;
  await quarantine.add({ device: bdf, why: 'dead', evidence: death.value, worker: null, binding });
  logger.info({ bdf, evidence: death.value }, 'dead device in quarantine');
  return true;
}

async function membersOf(host: StepContext['host'], group: number): Promise<readonly Bdf[]> {
  return (await readGroups(host)).get(group)?.members ?? [];
}
