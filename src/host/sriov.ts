import type { VfSettings } from './effects.js';
import { HostError, HostNotReadyError } from '../errors.js';
import type { Bdf } from '../pci/pci-address.js';
import { isBdfName } from './class-devices.js';
import type { HostEffects } from './effects.js';
import { devicePath } from './pci-function.js';
import { hostFailure, listOrNone, readAttribute, readLinkName } from './reading.js';
import { changeVf, interfaceOf, isUnicastMac } from './vf-settings.js';

/** How many VFs a PF had, and whether the kernel offered them to drivers. Plain JSON. */
export interface VfRecord {
  readonly pf: Bdf;
  readonly count: number;
  /** Exact text of `sriov_drivers_autoprobe`; null on a kernel without it. */
  readonly autoprobe: string | null;
  /** How each VF was set up, where its PF has a network interface that tells. */
  readonly settings: { readonly netdev: string; readonly vfs: readonly VfSettings[] } | null;
}

export interface VfOptions {
  /** Firmware takes seconds to make many VFs, and each of them is probed. Default 60,000 ms. */
  readonly writeDeadlineMs?: number | undefined;
}

const WRITE_DEADLINE_MS = 60_000;

/** @throws {HostError} `HOST_UNREADABLE` */
export async function recordVfs(effects: HostEffects, pf: Bdf): Promise<VfRecord> {
  try {
    const count = await readCount(effects, pf);
    const autoprobe = await readAttribute(effects, `${devicePath(pf)}/sriov_drivers_autoprobe`);
    const settings = count === 0 ? null : await recordSettings(effects, pf);
    return { pf, count, autoprobe: autoprobe ?? null, settings };
  } catch (error) {
    throw hostFailure(pf, error, 'HOST_UNREADABLE');
  }
}

/** What cannot be told of VFs is nothing that was set through their PF's interface. */
async function recordSettings(effects: HostEffects, pf: Bdf): Promise<VfRecord['settings']> {
  try {
    const netdev = await interfaceOf(effects, pf);
    return { netdev, vfs: await effects.readVfs(netdev) };
  } catch (error) {
    if (error instanceof HostError || error instanceof HostNotReadyError) return null;
    throw error;
  }
}

async function restoreSettings(effects: HostEffects, { settings }: VfRecord): Promise<void> {
  if (settings === null) return;
  const { netdev, vfs } = settings;
  for (const { index, mac, vlan, trust, spoofCheck } of vfs) {
    const change = {
      // A VF that chose its own address chooses another.
      mac: isUnicastMac(mac) ? mac : undefined,
      vlan,
      trust: trust ?? undefined,
      spoofCheck: spoofCheck ?? undefined,
    };
    await changeVf(effects, { netdev, index }, change);
  }
}

/** The VFs of a PF in the order of their index. */
export async function listVfs(effects: HostEffects, pf: Bdf): Promise<readonly Bdf[]> {
  const indexes = (await listOrNone(effects, devicePath(pf)))
    .flatMap((name) => /^virtfn(\d+)$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
  const names = await Promise.all(
    indexes.map((index) => readLinkName(effects, `${devicePath(pf)}/virtfn${index}`)),
  );
  return names.filter((name) => name !== undefined).filter(isBdfName);
}

/**
 * Makes VFs that no driver has taken. Their drivers are kept off only while they appear: with
 * `sriov_drivers_autoprobe` left at 0 no native driver could ever bind one without an override
 * (pci_device_can_probe, Linux 6.12), so it goes back to what it was at once.
 *
 * @throws {HostError} `NO_VFS` where the driver made fewer than asked, which it does not tell;
 * `STUCK`, `HOST_IO`.
 */
export async function createVfs(
  effects: HostEffects,
  record: VfRecord,
  count: number,
  options: VfOptions = {},
): Promise<void> {
  const { pf, autoprobe } = record;
  if ((await readCount(effects, pf)) !== count) {
    await setAutoprobe(effects, record, '0', options);
    try {
      await setCount(effects, pf, count, options);
    } finally {
      await setAutoprobe(effects, record, autoprobe, options);
    }
  }
  const made = await readCount(effects, pf);
  if (made === count) return;
  throw new HostError('NO_VFS', `${pf}: ${count} virtual functions asked for, ${made} made`, {
    remedy: `ask for ${made}, or see why: dmesg | grep ${pf}`,
    details: { device: pf, asked: count, made },
  });
}

/** Removes every VF. What is open in a process would make this wait for it. */
export async function removeVfs(
  effects: HostEffects,
  pf: Bdf,
  options: VfOptions = {},
): Promise<void> {
  if ((await readCount(effects, pf)) !== 0) await setCount(effects, pf, 0, options);
  const left = await readCount(effects, pf);
  if (left === 0) return;
  throw new HostError('HOST_IO', `${pf}: its ${left} virtual functions are still there`, {
    remedy: `see why: dmesg | grep ${pf}`,
    details: { device: pf, left },
  });
}

/** Brings back as many VFs as there were, offered to their drivers or not as it was set then. */
export async function restoreVfs(
  effects: HostEffects,
  record: VfRecord,
  options: VfOptions = {},
): Promise<void> {
  const { pf, count, autoprobe } = record;
  const now = await readCount(effects, pf);
  if (now !== count && now !== 0) await removeVfs(effects, pf, options);
  await setAutoprobe(effects, record, autoprobe, options);
  if (now !== count && count !== 0) await setCount(effects, pf, count, options);
  await restoreSettings(effects, record);
}

async function setCount(
  effects: HostEffects,
  pf: Bdf,
  count: number,
  options: VfOptions,
): Promise<void> {
  await write(effects, pf, 'sriov_numvfs', String(count), options);
}

async function setAutoprobe(
  effects: HostEffects,
  { pf, autoprobe }: VfRecord,
  value: string | null,
  options: VfOptions,
): Promise<void> {
  if (autoprobe === null || value === null) return;
  const name = 'sriov_drivers_autoprobe';
  if ((await readAttribute(effects, `${devicePath(pf)}/${name}`)) === value) return;
  await write(effects, pf, name, value, options);
}

async function write(
  effects: HostEffects,
  pf: Bdf,
  name: string,
  value: string,
  { writeDeadlineMs = WRITE_DEADLINE_MS }: VfOptions,
): Promise<void> {
  try {
    await effects.write(`${devicePath(pf)}/${name}`, value, { deadlineMs: writeDeadlineMs });
  } catch (error) {
    throw hostFailure(pf, error);
  }
}

async function readCount(effects: HostEffects, pf: Bdf): Promise<number> {
  const text = (await readAttribute(effects, `${devicePath(pf)}/sriov_numvfs`)) ?? '0';
  if (/^\d+$/.test(text)) return Number(text);
  throw new HostError('HOST_UNREADABLE', `${pf}: sriov_numvfs reads ${JSON.stringify(text)}`);
}
