import { RefusedError } from '../../errors.js';
import { known, unknown, type Known } from '../../known.js';
import type { HostEffects, HostStat } from '../effects.js';
import { readDevices } from '../inventory.js';
import { listOrNone } from '../reading.js';
import { selectDevice } from '../selector/index.js';
import type { HostDevice } from '../types.js';
import { parseCommandLine } from './command-line.js';
import type { DesiredState } from './desired-state.js';
import { moduleName, type KernelFacts, type SetupFacts } from './facts.js';
import { textOf } from './file-state.js';
import { bootcImage } from './kernel-arguments/bootc-image.js';
import { chooseBackend } from './choose-backend.js';
import { readModprobe } from './modprobe.js';
import { findInitramfsBackend, findKernels, readInitramfs } from './read-initramfs.js';
import type { SetupHost } from './setup-host.js';
import { readLeftovers } from './read-leftovers.js';
import { readRestrictedUnits } from './read-units.js';

/** What the set-up is read through: the files and programs of a root, and the kernel's own trees. */
export interface SetupReader {
  readonly host: SetupHost;
  readonly effects: HostEffects;
}

/**
 * Looks at the set-up once. What only root may read is unknown with its reason; nothing is changed.
 *
 * @throws {InputError} where the desired state forces a backend that does not exist.
 * @throws {RefusedError} where it forces one that is not here.
 */
export async function readFacts(reader: SetupReader, desired: DesiredState): Promise<SetupFacts> {
  const { host, effects } = reader;
  const kernels = await readKernels(host);
  const backend = await findInitramfsBackend(host);
  const selectors = (desired.early ?? []).map(({ device }) => device);
  const devices =
    selectors.length === 0
      ? known<HostDevices>(new Map())
      : await attempt(() => readDevices(effects));
  return {
    isMachine: host.isMachine,
    architecture: host.architecture,
    cpuVendor: await readCpuVendor(effects),
    machineId: await readMachineId(host),
    isImageSystem: await isImageSystem(host),
    kernels,
    running: await attempt(async () =>
      parseCommandLine((await effects.read('/proc/cmdline')).trim()),
    ),
    iommu: {
      groupCount: await attempt(
        async () => (await effects.list('/sys/kernel/iommu_groups')).length,
      ),
      dmar: await isThere(effects, '/sys/firmware/acpi/tables/DMAR'),
      ivrs: await isThere(effects, '/sys/firmware/acpi/tables/IVRS'),
    },
    kernelArguments: await chooseBackend(host, desired.backend),
    initramfs: {
      backend,
      // Unpacking an image takes seconds: only where something shall be in it.
      listing: desired.early?.length
        ? (await readInitramfs(host, backend, kernels.at(-1)?.release ?? '')).listing
        : unknown('nothing is wanted in it'),
    },
    modprobe: await readModprobe(host),
    groups: await readGroups(host),
    selinux: await host.exists('/sys/fs/selinux/enforce'),
    apparmor: await host.exists('/sys/kernel/security/apparmor/profiles'),
    libvirt: await host.exists('/etc/libvirt/qemu.conf'),
    secureBoot: await readSecureBoot(effects),
    devices: await findDevices(effects, devices, selectors),
    allDevices: devices.known ? [...devices.value.values()] : [],
    runningParameters: await readParameters(effects, host.isMachine),
    hugepages: await readHugepages(effects),
    nodeFreeBytes: await readFreeMemory(effects),
    kvmfrNodes: await readKvmfrNodes(effects),
    leftovers: await readLeftovers(host),
    restrictedUnits: await readRestrictedUnits(
      host,
      (desired.memlock ?? []).flatMap(({ unit }) => (unit === undefined ? [] : [unit])),
    ),
    claims: await readClaims(host),
  };
}

const ABSENT = { kind: 'absent' } as const;

/** Content of /etc/machine-id; empty where the system has none yet, as an image. */
export async function readMachineId(host: SetupHost): Promise<string> {
  return (textOf(await host.readFile('/etc/machine-id').catch(() => ABSENT)) ?? '').trim();
}

async function attempt<T>(read: () => Promise<T>): Promise<Known<T>> {
  try {
    return known(await read());
  } catch (error) {
    return unknown(error instanceof Error ? error.message : String(error));
  }
}

async function readCpuVendor(effects: HostEffects): Promise<string | undefined> {
  const text = await attempt(() => effects.read('/proc/cpuinfo'));
  return text.known ? /^vendor_id\s*:\s*(\S+)/m.exec(text.value)?.[1] : undefined;
}

async function isThere(effects: HostEffects, path: string): Promise<boolean> {
  return effects.stat(path).then(
    () => true,
    () => false,
  );
}

/** ostree (Fedora's image systems, bootc) and NixOS own what boots; so does a bootc image while it is built. */
async function isImageSystem(host: SetupHost): Promise<boolean> {
  const marks = ['/run/ostree-booted', '/ostree', '/etc/NIXOS'];
  if (await bootcImage.detect(host)) return true;
  return (await Promise.all(marks.map((path) => host.exists(path)))).includes(true);
}

async function readKernels(host: SetupHost): Promise<readonly KernelFacts[]> {
  const kernels = await findKernels(host);
  return Promise.all(
    [...kernels].map(async ([release, folder]) => {
      const names = async (file: string) => {
        const text = textOf(await host.readFile(`${folder}/${file}`).catch(() => ABSENT)) ?? '';
        return new Set(text.split('\n').flatMap((line) => moduleName(line)));
      };
      return {
        release,
        builtIn: await names('modules.builtin'),
        modules: await names('modules.dep'),
      };
    }),
  );
}

async function readGroups(host: SetupHost): Promise<ReadonlyMap<string, number>> {
  const text = textOf(await host.readFile('/etc/group').catch(() => ABSENT)) ?? '';
  return new Map(
    text.split('\n').flatMap((line) => {
      const [name = '', , gid = ''] = line.split(':');
      return name !== '' && /^\d+$/.test(gid) ? [[name, Number(gid)] as const] : [];
    }),
  );
}

/** Byte 4 of the variable: four bytes of attributes stand before it (Linux Documentation, efivarfs). */
export async function readSecureBoot(effects: HostEffects): Promise<Known<boolean>> {
  if (!(await isThere(effects, '/sys/firmware/efi'))) return known(false);
  const path = '/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c';
  return attempt(async () => (await effects.readBytes(path, 5))[4] === 1);
}

type HostDevices = ReadonlyMap<string, HostDevice>;

/** Parameters that can be read back; those of kvmfr cannot (permission 0, kvmfr 0.0.12). */
const PARAMETERS = [
  ...['kvm/parameters/ignore_msrs', 'kvm/parameters/report_ignored_msrs'],
  ...['kvm/parameters/nested', 'kvm_intel/parameters/nested', 'kvm_amd/parameters/nested'],
  ...['vfio_pci/parameters/disable_vga', 'vfio_pci/parameters/disable_idle_d3'],
];

async function readParameters(
  effects: HostEffects,
  isMachine: boolean,
): Promise<ReadonlyMap<string, string>> {
  const read = await Promise.all(
    (isMachine ? PARAMETERS : []).map(
      async (path) => [path, await attempt(() => effects.read(`/sys/module/${path}`))] as const,
    ),
  );
  return new Map(
    read.flatMap(([path, text]) => (text.known ? [[path, text.value.trim()] as const] : [])),
  );
}

async function findDevices(
  effects: HostEffects,
  devices: Known<HostDevices>,
  selectors: readonly string[],
): Promise<ReadonlyMap<string, Known<HostDevice>>> {
  const entries = selectors.map(async (selector) => {
    const found = devices.known
      ? await attempt(async () => {
          const bdf = await selectDevice({ effects }, selector);
          return devices.value.get(bdf) ?? missing(bdf);
        })
      : unknown(devices.reason);
    return [selector, found] as const;
  });
  return new Map(await Promise.all(entries));
}

function missing(bdf: string): never {
  throw new RefusedError('NO_MATCH', `${bdf} left while the host was being looked at`);
}

/** driverctl's overrides, and mdevs that mdevctl starts. */
async function readClaims(host: SetupHost): Promise<readonly string[]> {
  const all = await Promise.all(
    ['/etc/driverctl.d', '/etc/mdevctl.d'].map(async (folder) =>
      (await host.list(folder)).map((name) => `${folder}/${name}`),
    ),
  );
  return all.flat();
}

async function readFreeMemory(effects: HostEffects): Promise<ReadonlyMap<string, bigint>> {
  const folder = '/sys/devices/system/node';
  const names = (await listOrNone(effects, folder)).filter((name) => /^node\d+$/.test(name));
  const free = await Promise.all(
    names.map(async (name) => {
      const text = await attempt(() => effects.read(`${folder}/${name}/meminfo`));
      const kib = text.known ? /MemFree:\s*(\d+) kB/.exec(text.value)?.[1] : undefined;
      return kib === undefined ? [] : [[name.slice('node'.length), BigInt(kib) << 10n] as const];
    }),
  );
  return new Map(free.flat());
}

async function readKvmfrNodes(effects: HostEffects): Promise<ReadonlyMap<string, HostStat>> {
  const paths = Array.from({ length: 10 }, (_, index) => `/dev/kvmfr${index}`);
  const stats = await Promise.all(
    paths.map(async (path) => [path, await attempt(() => effects.stat(path))] as const),
  );
  return new Map(
    stats.flatMap(([path, stat]) => (stat.known ? [[path, stat.value] as const] : [])),
  );
}

/** Files of /sys that hold the number of huge pages, by their path. */
async function readHugepages(effects: HostEffects): Promise<ReadonlyMap<string, string>> {
  const nodes = (await listOrNone(effects, '/sys/devices/system/node')).filter((name) =>
    /^node\d+$/.test(name),
  );
  const paths = nodes.flatMap((node) =>
    ['2048kB', '1048576kB'].map(
      (size) => `/sys/devices/system/node/${node}/hugepages/hugepages-${size}/nr_hugepages`,
    ),
  );
  const read = await Promise.all(
    paths.map(async (path) => [path, await attempt(() => effects.read(path))] as const),
  );
  return new Map(
    read.flatMap(([path, text]) => (text.known ? [[path, text.value.trim()] as const] : [])),
  );
}
