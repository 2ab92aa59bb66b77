import type { Kernel } from './kernel.js';
import {
  directory,
  file,
  fixedTree,
  link,
  listing,
  merge,
  type DirectoryNode,
} from './node-tree.js';
import type { Process } from './processes.js';

/** A listening or connected unix socket, as `/proc/net/unix` shows it. */
export interface UnixSocket {
  readonly inode: number;
  readonly path: string;
  readonly listening: boolean;
}

const DEFAULT_MOUNTINFO = [
  '21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw',
  '22 21 0:5 / /dev rw,nosuid shared:2 - devtmpfs udev rw',
  '23 21 0:21 / /sys rw,nosuid shared:3 - sysfs sysfs rw',
  '24 21 0:22 / /proc rw,nosuid shared:4 - proc proc rw',
  '',
].join('\n');

/** `/proc` over the kernel's live state, as the process `selfPid` sees it. */
export function procfs(
  kernel: Kernel,
  sockets: () => readonly UnixSocket[],
  selfPid: number,
): DirectoryNode {
  const fixed = directory({
    self: () => link(String(selfPid)),
    devices: () => file(() => devices(kernel)),
    swaps: () => file(() => kernel.config.swaps ?? 'Filename\tType\tSize\tUsed\tPriority\n'),
    interrupts: () => file(() => interrupts(kernel)),
    modules: () =>
      file(() => [...kernel.loadedModules].map((name) => `${name} 16384 0 - Live 0x0\n`).join('')),
    mounts: () => link('self/mounts'),
    net: () =>
      directory({
        route: () => file(() => 'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n'),
        tcp: () => file(() => '  sl  local_address rem_address   st tx_queue rx_queue tr\n'),
        unix: () => file(() => unixTable(sockets())),
      }),
    sys: () =>
      fixedTree({
        '/kernel/random/boot_id': `${kernel.config.bootId ?? DEFAULT_BOOT_ID}\n`,
        '/kernel/osrelease': `${kernel.config.release ?? DEFAULT_RELEASE}\n`,
      }),
    cmdline: () => file(() => 'BOOT_IMAGE=/vmlinuz root=/dev/sda1 intel_iommu=on iommu=pt\n'),
    version: () => file(() => `Linux version ${kernel.config.release ?? DEFAULT_RELEASE}\n`),
    uptime: () => file(() => '1000.00 1900.00\n'),
  });
  const processes = listing(
    () => kernel.processes.all().map(({ pid }) => String(pid)),
    (name) => {
      const process = kernel.processes.get(Number(name));
      return process && String(process.pid) === name
        ? processDirectory(kernel, process)
        : undefined;
    },
  );
  return merge([fixed, processes]);
}

export const DEFAULT_BOOT_ID = '5f2c1b9a-7d3e-4c61-9a08-2e6f1d4b7c35';
const DEFAULT_RELEASE = '6.12.95-amd64';

function interrupts(kernel: Kernel): string {
  const remapped = kernel.config.interruptRemapping ?? true;
  return `            CPU0\n  1:          9  ${remapped ? 'IR-IO-APIC' : 'IO-APIC'}   1-edge      i8042\n`;
}

function devices({ config, loadedModules }: Kernel): string {
  const vfio = loadedModules.has('vfio') ? '243 vfio\n' : '';
  const cdev = loadedModules.has('vfio') && config.cdev === true ? '511 vfio-dev\n' : '';
  return `Character devices:\n  1 mem\n${vfio}${cdev}\nBlock devices:\n  8 sd\n`;
}

function unixTable(sockets: readonly UnixSocket[]): string {
  const rows = sockets.map(
    ({ inode, path, listening }) =>
      `0000000000000000: 0000000${listening ? 2 : 3} 00000000 ${listening ? '00010000' : '00000000'} ` +
      `0001 ${listening ? '01' : '03'} ${inode} ${path}\n`,
  );
  return `Num       RefCount Protocol Flags    Type St Inode Path\n${rows.join('')}`;
}

function processDirectory(kernel: Kernel, process: Process): DirectoryNode {
  const mountinfo = () => process.mountinfo ?? kernel.config.mountinfo ?? DEFAULT_MOUNTINFO;
  return directory({
    stat: () => file(() => statText(process)),
    status: () => file(() => statusText(process)),
    limits: () => file(() => limitsText(process)),
    comm: () => file(() => `${process.command.slice(0, 15)}\n`),
    cmdline: () => file(() => process.arguments.map((argument) => `${argument}\0`).join('')),
    cgroup: () => file(() => '0::/system.slice\n'),
    mountinfo: () => file(mountinfo),
    mounts: () => file(() => ''),
    exe: () => link(process.arguments[0] ?? process.command),
    root: () => link('/'),
    cwd: () => link('/'),
    ns: () =>
      directory({
        pid: () => link('pid:[4026531836]'),
        mnt: () => link(`mnt:[${process.mountNamespace}]`),
        net: () => link('net:[4026531840]'),
      }),
    fd: () =>
      listing(
        () => [...process.fds.keys()].map(String),
        (name) => {
          const target = process.fds.get(Number(name));
          return target === undefined ? undefined : link(target);
        },
      ),
  });
}

/** proc(5): 52 fields; 20 counts threads, 22 is the start time in clock ticks since boot. */
function statText(process: Process): string {
  const rest: number[] = Array.from({ length: 49 }, () => 0);
  rest[0] = process.pid === 1 ? 0 : 1;
  rest[16] = 1;
  rest[18] = process.startTime;
  return `${process.pid} (${process.command.slice(0, 15)}) S ${rest.join(' ')}\n`;
}

function statusText(process: Process): string {
  const four = (id: number) => [id, id, id, id].join('\t');
  return [
    `Name:\t${process.command.slice(0, 15)}`,
    'State:\tS (sleeping)',
    `Pid:\t${process.pid}`,
    `Uid:\t${four(process.uid)}`,
    `Gid:\t${four(process.gid)}`,
    `Groups:\t${process.groups.join(' ')} `,
    `NSpid:\t${process.pid}`,
    `VmLck:\t${(process.lockedBytes / 1024n).toString().padStart(8)} kB`,
    `VmPin:\t${(process.pinnedBytes / 1024n).toString().padStart(8)} kB`,
    `CapEff:\t${process.capabilities.toString(16).padStart(16, '0')}`,
    '',
  ].join('\n');
}

function limitsText(process: Process): string {
  const cell = (bytes: bigint | undefined) => (bytes?.toString() ?? 'unlimited').padEnd(21);
  const row = (name: string, soft: string, hard: string, unit: string) =>
    `${name.padEnd(26)}${soft}${hard}${unit.padEnd(10)}\n`;
  const { soft, hard } = process.memlock;
  return (
    row('Limit', 'Soft Limit'.padEnd(21), 'Hard Limit'.padEnd(21), 'Units') +
    row('Max open files', cell(1024n), cell(524288n), 'files') +
    row('Max locked memory', cell(soft), cell(hard), 'bytes')
  );
}
