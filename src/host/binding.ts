import { systemClock, type Clock } from '../clock.js';
import { HostError, HostNotReadyError } from '../errors.js';
import type { Bdf } from '../pci/pci-address.js';
import { readCdev } from './cdev.js';
import { HostIoError, type HostEffects } from './effects.js';
import { devicePath, readDriver, readGroupNumber, readOverride } from './pci-function.js';
import { exists, hostFailure, isMissing, readLinkName } from './reading.js';
import { ensureDriver } from './variant.js';

/** How a function was bound before we touched it. Plain JSON, so that a journal can carry it. */
export interface BindingRecord {
  readonly bdf: Bdf;
  /** Directory name under /sys/bus/pci/drivers; null when it had none. */
  readonly driver: string | null;
  /** Module of that driver, which may be spelled quite differently; null when built in. */
  readonly module: string | null;
  /** The exact `driver_override`; null when unset. */
  readonly override: string | null;
}

export interface BindOptions {
  readonly clock?: Clock | undefined;
  /** How long each write may take. Unbinding a busy NVMe was measured at 2.3 s. */
  readonly writeDeadlineMs?: number | undefined;
  /** How long /dev may take to show the node. */
  readonly nodeDeadlineMs?: number | undefined;
}

export interface BindResult {
  /** The driver's directory name. */
  readonly driver: string;
  readonly group: number;
  /** True when it was bound that way before. */
  readonly already: boolean;
}

/** The files whose writes bind a function. */
export const bindingFiles = {
  override: (bdf: Bdf) => `${devicePath(bdf)}/driver_override`,
  unbind: (bdf: Bdf) => `${devicePath(bdf)}/driver/unbind`,
  bind: (driver: string) => `/sys/bus/pci/drivers/${driver}/bind`,
} as const;

const WRITE_DEADLINE_MS = 15_000;
const NODE_DEADLINE_MS = 5_000;

/**
 * Notes exactly what `restoreBinding` has to bring back. To be kept before the first write.
 *
 * @throws {HostError} `HOST_UNREADABLE` when the override cannot be read: what is not known
 * cannot be restored. {@link HostNotReadyError} `NO_MATCH` when there is no such function.
 */
export async function recordBinding(effects: HostEffects, bdf: Bdf): Promise<BindingRecord> {
  await requireDevice(effects, bdf);
  const override = await readOverride(effects, bdf);
  if (!override.known) {
    throw new HostError('HOST_UNREADABLE', `${bdf}: driver_override: ${override.reason}`, {
      remedy: 'see what holds the device: dmesg | tail',
      details: { device: bdf },
    });
  }
  return {
    bdf,
    driver: (await readDriver(effects, bdf)) ?? null,
    module: (await readLinkName(effects, `${devicePath(bdf)}/driver/module`)) ?? null,
    override: override.value ?? null,
  };
}

/**
 * Binds a function to a VFIO driver: override, unbind, bind, then look. The override goes first so
 * that no native driver can slip in between; the `bind` file is used because it returns what the probe
 * said, where `drivers_probe` succeeds without effect. A function already on the driver is left
 * alone. After a failure the function may be anywhere on the way: `restoreBinding` brings it back.
 *
 * All that can be refused (use, viability, reservation) must have been refused before.
 *
 * @throws {HostNotReadyError} `NO_IOMMU`, `DRIVER_MISSING`, `NO_MATCH`.
 * @throws {HostError} `PROBE_FAILED` with the errno, `STUCK`, `HOST_IO`.
 */
export async function bindToVfio(
  effects: HostEffects,
  bdf: Bdf,
  driver = 'vfio-pci',
  options: BindOptions = {},
): Promise<BindResult> {
  await requireDevice(effects, bdf);
  const group = await readGroupNumber(effects, bdf);
  if (group === undefined) throw noIommu(bdf);
  const wanted = await ensureDriver(effects, driver);
  const already = (await readDriver(effects, bdf)) === wanted;
  if (!already) {
    await writeOverride(effects, bdf, wanted, options);
    await unbind(effects, bdf, options);
    await bind(effects, bdf, wanted, options);
  }
  await waitForNode(effects, { bdf, group }, options);
  return { driver: wanted, group, already };
}

/** Sets the override, or clears it for null. A write of the value it has is left out. */
export async function writeOverride(
  effects: HostEffects,
  bdf: Bdf,
  value: string | null,
  options: BindOptions = {},
): Promise<void> {
  const current = await readOverride(effects, bdf);
  if (current.known && (current.value ?? null) === value) return;
  // Only a newline clears it: a write of nothing never reaches the kernel.
  await write(effects, bindingFiles.override(bdf), value ?? '\n', { bdf, options });
}

/** Takes the function from its driver; done when it has none. */
export async function unbind(
  effects: HostEffects,
  bdf: Bdf,
  options: BindOptions = {},
): Promise<void> {
  if ((await readDriver(effects, bdf)) === undefined) return;
  try {
    await write(effects, bindingFiles.unbind(bdf), bdf, { bdf, options });
  } catch (error) {
    // Someone else unbound it in between, which is as good.
    const isGone = error instanceof HostError && isMissing(error.cause);
    if (!isGone || (await readDriver(effects, bdf)) !== undefined) throw error;
  }
  const left = await readDriver(effects, bdf);
  if (left === undefined) return;
  throw new HostError('HOST_IO', `${bdf}: unbound, yet the kernel shows it on ${left}`, {
    remedy: `something binds it again; check udev rules and: dmesg | grep ${bdf}`,
    details: { device: bdf, driver: left },
  });
}

/**
 * Binds a driverless function and verifies the link.
 *
 * @throws {HostError} `PROBE_FAILED` when the driver did not take it.
 */
export async function bind(
  effects: HostEffects,
  bdf: Bdf,
  driver: string,
  options: BindOptions = {},
): Promise<void> {
  let refusal: HostIoError | undefined;
  try {
    await effects.write(bindingFiles.bind(driver), bdf, {
      deadlineMs: options.writeDeadlineMs ?? WRITE_DEADLINE_MS,
    });
  } catch (error) {
    if (!(error instanceof HostIoError) || error.stuck) throw hostFailure(bdf, error);
    refusal = error;
  }
  // The link decides: an automatic probe can win the race, and a write can succeed without effect.
  const bound = await readDriver(effects, bdf);
  if (bound === driver) return;
  const errno = refusal?.errno ?? 'none';
  throw new HostError('PROBE_FAILED', `${bdf}: ${driver} did not take it (errno ${errno})`, {
    cause: refusal,
    remedy: remedyForProbe(errno, bdf),
    details: { device: bdf, driver, errno, boundTo: bound ?? null },
  });
}

function remedyForProbe(errno: string, bdf: Bdf): string {
  switch (errno) {
    case 'EINVAL':
      return 'a bridge, a device on the denylist of vfio-pci, or an IOMMU mapping that firmware insists on: dmesg | tail';
    case 'EBUSY':
      return `virtual functions are enabled, or another owner has its IOMMU group: dmesg | grep ${bdf}`;
    case 'ENODEV':
      return `the driver does not match it: cat /sys/bus/pci/devices/${bdf}/driver_override`;
    default:
      return `dmesg | grep ${bdf}`;
  }
}

/** One write on behalf of a function. @throws {HostError} `STUCK`, `HOST_IO` */
async function write(
  effects: HostEffects,
  path: string,
  data: string,
  { bdf, options }: { bdf: Bdf; options: BindOptions },
): Promise<void> {
  try {
    await effects.write(path, data, { deadlineMs: options.writeDeadlineMs ?? WRITE_DEADLINE_MS });
  } catch (error) {
    throw hostFailure(bdf, error);
  }
}

const FIRST_PAUSE_MS = 1;
const LONGEST_PAUSE_MS = 100;

/**
 * devtmpfs makes the node before `bind` returns, so the first look normally finds it; udev-managed
 * and private /dev trees follow later.
 */
async function waitForNode(
  effects: HostEffects,
  { bdf, group }: { bdf: Bdf; group: number },
  { clock = systemClock, nodeDeadlineMs = NODE_DEADLINE_MS }: BindOptions,
): Promise<void> {
  const deadline = clock.now() + nodeDeadlineMs;
  const path = `/dev/vfio/${group}`;
  // A kernel without CONFIG_VFIO_GROUP has the cdev alone.
  const isThere = async () =>
    (await exists(effects, path)) || (await readCdev(effects, bdf)) !== undefined;
  for (let pauseMs = FIRST_PAUSE_MS; !(await isThere()); pauseMs *= 2) {
    if (clock.now() >= deadline) {
      throw new HostError('HOST_IO', `${bdf}: bound, but ${path} has not appeared`, {
        remedy: 'is /dev a devtmpfs here, and is the vfio module loaded? ls -l /dev/vfio',
        details: { device: bdf, node: path, waitedMs: nodeDeadlineMs },
      });
    }
    await new Promise<void>((resolve) => {
      clock.after(Math.min(pauseMs, LONGEST_PAUSE_MS), resolve);
    });
  }
}

async function requireDevice(effects: HostEffects, bdf: Bdf): Promise<void> {
  if (await exists(effects, devicePath(bdf))) return;
  throw new HostNotReadyError('NO_MATCH', `The host has no PCI device ${bdf}`, {
    remedy: 'list what it has: qmplug devices',
    details: { device: bdf },
  });
}

function noIommu(bdf: Bdf): HostNotReadyError {
  return new HostNotReadyError('NO_IOMMU', `${bdf} is in no IOMMU group`, {
    remedy:
      'switch the IOMMU on in the firmware and on the kernel command line (intel_iommu=on on Intel)',
    details: { device: bdf },
  });
}
