import { HostError, HostNotReadyError } from '../errors.js';
import type { Bdf } from '../pci/pci-address.js';
import { bind, unbind, writeOverride, type BindingRecord, type BindOptions } from './binding.js';
import { HostIoError, type HostEffects } from './effects.js';
import { readGroupHolders } from './holders.js';
import { groupCdevs } from './cdev.js';
import { devicePath, readDriver, readGroupNumber, readOverride } from './pci-function.js';
import { exists, hostFailure } from './reading.js';
import { isVfioDriver } from './vfio-drivers.js';
import { ensureDriver } from './variant.js';

export interface RestoreOptions extends BindOptions {
  /**
   * Goes on where it cannot be told who holds the group, as in a container that does not see the host's
   * processes. To be set only when the device is known to be closed: QEMU has let go of it,
   * or is dead. An unbind of an open device blocks until it is closed.
   */
  readonly allowUnknownHolders?: boolean | undefined;
}

/** `gone`: the function no longer exists, so there is nothing to bring back. */
export type RestoreResult = 'restored' | 'already' | 'gone';

/**
 * Brings driver and override back to exactly what the record says, from wherever an attach, a detach or
 * another restore was interrupted: it looks at the function, never at how far somebody got. Verified
 * by reading both back.
 *
 * @throws {HostNotReadyError} `GROUP_HELD` when the function would have to leave VFIO while its group
 * is open, `DRIVER_MISSING` when the recorded driver cannot be loaded.
 * @throws {HostError} `PROBE_FAILED`, `STUCK`, `HOST_IO`, `HOST_UNREADABLE`.
 */
export async function restoreBinding(
  effects: HostEffects,
  record: BindingRecord,
  options: RestoreOptions = {},
): Promise<RestoreResult> {
  const { bdf } = record;
  if (!(await exists(effects, devicePath(bdf)))) return 'gone';
  if (await isAsRecorded(effects, record)) return 'already';
  const current = (await readDriver(effects, bdf)) ?? null;
  if (current !== record.driver) {
    if (current !== null && isVfioDriver(current)) await requireClosed(effects, bdf, options);
    // With an override in place only the driver it names can bind.
    const isOverrideInTheWay = record.driver !== null && record.override !== record.driver;
    await writeOverride(effects, bdf, isOverrideInTheWay ? null : record.override, options);
    await unbind(effects, bdf, options);
    if (record.driver !== null) {
      const driver = await ensureDriver(effects, record.driver, record.module ?? undefined);
      await bindRecorded(effects, { record, driver, options });
    }
  }
  await writeOverride(effects, bdf, record.override, options);
  if (await isAsRecorded(effects, record)) return 'restored';
  throw new HostError('HOST_IO', `${bdf}: written back, yet it reads differently`, {
    remedy: `compare /sys/bus/pci/devices/${bdf}/driver and driver_override with the record`,
    details: { device: bdf, driver: record.driver, override: record.override },
  });
}

/** A driver that took the device through a dynamic id or an earlier override needs it once more. */
async function bindRecorded(
  effects: HostEffects,
  { record, driver, options }: { record: BindingRecord; driver: string; options: RestoreOptions },
): Promise<void> {
  try {
    await bind(effects, record.bdf, driver, options);
  } catch (error) {
    const isMismatch =
      error instanceof HostError &&
      error.code === 'PROBE_FAILED' &&
      error.details['errno'] === 'ENODEV';
    if (!isMismatch) throw error;
    await writeOverride(effects, record.bdf, driver, options);
    await bind(effects, record.bdf, driver, options);
  }
}

async function isAsRecorded(effects: HostEffects, record: BindingRecord): Promise<boolean> {
  const override = await readOverride(effects, record.bdf);
  if (!override.known) {
    throw new HostError('HOST_UNREADABLE', `${record.bdf}: driver_override: ${override.reason}`, {
      remedy: 'see what holds the device: dmesg | tail',
      details: { device: record.bdf },
    });
  }
  const driver = (await readDriver(effects, record.bdf)) ?? null;
  return driver === record.driver && (override.value ?? null) === record.override;
}

async function requireClosed(
  effects: HostEffects,
  bdf: Bdf,
  { allowUnknownHolders = false }: RestoreOptions,
): Promise<void> {
  const group = await readGroupNumber(effects, bdf);
  if (group === undefined) return;
  const holders = await readGroupHolders(effects, group, {
    cdevs: await groupCdevs(effects, group),
  });
  if (!holders.known) {
    if (allowUnknownHolders) return;
    throw new HostError(
      'HOST_UNREADABLE',
      `${bdf}: whether IOMMU group ${group} is still open cannot be told: ${holders.reason}`,
      {
        remedy: 'run on the host itself as root with CAP_SYS_PTRACE',
        details: { device: bdf, group },
      },
    );
  }
  const [holder] = holders.value;
  if (holder === undefined) return;
  throw new HostNotReadyError(
    'GROUP_HELD',
    `${bdf}: ${holder.node} is still open in ${holder.command} (pid ${holder.pid})`,
    {
      remedy: 'restore it when the last member of the group has left the VM',
      details: { device: bdf, group, pid: holder.pid, command: holder.command, node: holder.node },
    },
  );
}

/** Where a sibling ended up. */
export interface ReprobeResult {
  readonly bdf: Bdf;
  readonly driver: string | undefined;
}

/**
 * Offers driverless siblings to their drivers again. While VFIO owned the group the kernel refused every
 * probe, and it does not retry by itself. A sibling that has a driver, or an override that
 * keeps it from one, is left alone. The result is read, because the write succeeds without effect.
 *
 * @param siblings those that had a driver before, or appeared while the group was owned.
 */
export async function reprobeSiblings(
  effects: HostEffects,
  siblings: readonly Bdf[],
): Promise<readonly ReprobeResult[]> {
  const results: ReprobeResult[] = [];
  for (const bdf of siblings) {
    const present = await exists(effects, devicePath(bdf));
    if (present && (await readDriver(effects, bdf)) === undefined) {
      try {
        await effects.write('/sys/bus/pci/drivers_probe', bdf);
      } catch (error) {
        // So the kernel says, at least 6.1, that VFIO still has the group: no driver takes the sibling yet.
        if (!(error instanceof HostIoError && error.errno === 'EINVAL')) {
          throw hostFailure(bdf, error);
        }
      }
    }
    results.push({ bdf, driver: await readDriver(effects, bdf) });
  }
  return results;
}
