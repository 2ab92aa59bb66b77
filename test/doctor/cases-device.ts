import type { HostTree } from '../host/sysfs-tree.js';
import { denied, path, type Case } from './case.js';
import { DEVICE, PID, STATUS, type Change } from './patient.js';

const DEEP: Change = { request: { deep: true } };
const deep = (change: Change): Change => ({ ...change, ...DEEP });
const config =
  (byte: string): NonNullable<Change['tree']> =>
  (tree) => {
    tree.file(`${tree.pathOf(DEVICE)}/config`, byte.repeat(64));
  };
const speeds =
  (now: string, width: string): NonNullable<Change['tree']> =>
  (tree) => {
    for (const [name, value] of Object.entries({
      max_link_speed: '16.0 GT/s PCIe',
      max_link_width: '16',
      current_link_speed: now,
      current_link_width: width,
    })) {
      tree.file(`${tree.pathOf(DEVICE)}/${name}`, `${value}\n`);
    }
  };
/** BAR 1 of 256 MiB, 64-bit prefetchable. */
const BAR_1 = ['0x0 0x0 0x0', '0x0000010000000000 0x000001000fffffff 0x000000000014220c'].join(
  '\n',
);
const resizable = (bitmap: string): Change => ({
  device: { resource: BAR_1 },
  tree: (tree) => tree.file(`${tree.pathOf(DEVICE)}/resource1_resize`, `${bitmap}\n`),
});

const VF = '0000:3b:00.4';
const withVf =
  (driver: string): NonNullable<Change['tree']> =>
  (tree) => {
    tree.setDriver(DEVICE, driver);
    tree.addFunction(VF, { group: 18, device: '0x2331', physfn: DEVICE });
  };
const vf = (driver: string): Change => ({ tree: withVf(driver), request: { device: VF } });

const NODES = '/sys/devices/system/node';
const TWO_NODES = {
  [`${NODES}/node0/cpulist`]: '0-7\n',
  [`${NODES}/node1/cpulist`]: '8-15\n',
};
/** QEMU on some processors, with 3 of 4 GiB on node 1. */
const onCpus = (
  list: string,
  maps = '7f0 bind:1 anon=1 N0=262144 N1=786432 kernelpagesize_kB=4\n',
) => ({
  ...TWO_NODES,
  [`/proc/${PID}/status`]: `${STATUS}Cpus_allowed_list:\t${list}\n`,
  [`/proc/${PID}/numa_maps`]: maps,
});
const ON_NODE_1 = { device: { numaNode: 1 } };
const REQUIRED = { request: { device: `{"match":{"bdf":"${DEVICE}"},"numa":"required"}` } };

const expecting = (device: string) => ({
  request: { device: `{"match":{"bdf":"${DEVICE}"},"expect":{"device":"${device}"}}` },
});

const nvidia = (...files: readonly string[]): Change => ({
  device: { driver: 'nvidia' },
  files: { [`/proc/driver/nvidia/gpus/${DEVICE}/information`]: 'Device Minor: \t 0\n' },
  tree: (tree) => tree.addProcess(6000, { command: 'python3', files }),
});

function withCard(tree: HostTree): void {
  tree.setDriver(DEVICE, 'nouveau');
  tree.addChild(DEVICE, 'drm/card0');
}

function withScsi(tree: HostTree): void {
  tree.addDevice(`${tree.pathOf(DEVICE)}/host6/scsi_host/host6`, {}, '/sys/class/scsi_host');
}

function withSwap(tree: HostTree): void {
  tree.addChild(DEVICE, 'nvme/nvme0/nvme0n1', { dev: '259:0' }, '/sys/class/block');
}

export const DEVICE_CASES: Readonly<Record<string, Case>> = {
  'dev.identity': {
    ok: expecting('2330'),
    bad: { verdict: 'fail', ...expecting('2331') },
    unknown: undefined,
    also: { 'nothing is expected': { verdict: 'skip' } },
  },
  'dev.alive': {
    ok: deep({ tree: config('a') }),
    bad: {
      verdict: 'fail',
      ...deep({ bytes: { [path('config')]: new Uint8Array(64).fill(0xff) } }),
    },
    unknown: deep({ tree: config('a'), denied: [path('config')] }),
    also: {
      'not asked for': { verdict: 'skip', tree: config('a') },
      'read in part': {
        verdict: 'unknown',
        ...deep({ tree: (tree) => tree.file(`${tree.pathOf(DEVICE)}/config`, 'ab') }),
      },
    },
  },
  'dev.bridge': {
    bad: { verdict: 'fail', device: { class: '0x060400' } },
    unknown: denied(path('class')),
    also: {
      'NVSwitch, a bridge by its class alone': { verdict: 'ok', device: { class: '0x068000' } },
    },
  },
  'dev.hdr': {
    bad: {
      verdict: 'fail',
      tree: (tree) => tree.file(`${tree.pathOf(DEVICE)}/secondary_bus_number`, '60\n'),
    },
    unknown: denied(path('secondary_bus_number')),
  },
  'dev.vf_token': {
    ok: vf('mlx5_core'),
    bad: { verdict: 'fail', ...vf('vfio-pci') },
    unknown: { ...vf('vfio-pci'), denied: [path('driver')] },
    also: { 'no virtual function': { verdict: 'skip' } },
  },
  'dev.rebar': {
    ok: deep(resizable('100')),
    bad: { verdict: 'warn', ...deep(resizable('3f00')) },
    unknown: deep({ ...resizable('3f00'), denied: [path('resource1_resize')] }),
    also: {
      'not asked for': { verdict: 'skip', ...resizable('3f00') },
      'not to be resized': { verdict: 'skip', ...DEEP },
    },
  },
  'dev.link': {
    ok: deep({ tree: speeds('16.0 GT/s PCIe', '16') }),
    bad: { verdict: 'warn', ...deep({ tree: speeds('2.5 GT/s PCIe', '16') }) },
    unknown: deep({ tree: speeds('2.5 GT/s PCIe', '16'), denied: [path('current_link_speed')] }),
    also: {
      'fewer lanes': { verdict: 'warn', ...deep({ tree: speeds('16.0 GT/s PCIe', '8') }) },
      'of unknown speed': { verdict: 'skip', ...deep({ tree: speeds('Unknown', '63') }) },
      'not asked for': { verdict: 'skip', tree: speeds('2.5 GT/s PCIe', '16') },
    },
  },
  'dev.numa': {
    ok: { ...ON_NODE_1, files: onCpus('8-15') },
    bad: { verdict: 'warn', ...ON_NODE_1, files: onCpus('0-7') },
    unknown: { ...ON_NODE_1, files: onCpus('0-15'), denied: [`/proc/${PID}/numa_maps`] },
    also: {
      'a firmware that names no node': { verdict: 'ok', files: TWO_NODES },
      'a host of one node': { verdict: 'ok', device: { numaNode: 0 } },
      'far, where near is required': {
        verdict: 'fail',
        ...ON_NODE_1,
        files: onCpus('0-7'),
        ...REQUIRED,
      },
      'memory on the other node': {
        verdict: 'warn',
        ...ON_NODE_1,
        files: onCpus('0-15', '7f0 bind:0 N0=4096 N1=1 kernelpagesize_kB=4\n'),
      },
      'huge pages near, small ones far': {
        verdict: 'ok',
        ...ON_NODE_1,
        files: onCpus(
          '0-15',
          '7f0 huge N1=2 kernelpagesize_kB=1048576\n7f1 N0=9 kernelpagesize_kB=4\n',
        ),
      },
    },
  },
  'dev.in_use.drm': {
    ok: {},
    bad: { verdict: 'fail', device: { class: '0x030000', bootVga: true }, tree: withCard },
    unknown: denied(path('subsystem_vendor')),
    also: {
      'a card that nobody uses': { verdict: 'warn', tree: withCard },
      'a card that a display server has open': {
        verdict: 'warn',
        tree(tree) {
          withCard(tree);
          tree.addProcess(6000, { command: 'Xorg', files: ['/dev/dri/card0'] });
        },
      },
    },
  },
  'dev.in_use.nvidia': {
    ok: nvidia(),
    bad: { verdict: 'fail', ...nvidia('/dev/nvidia0') },
    unknown: { ...nvidia(), denied: ['/proc/1/fd'] },
    also: {
      "not with NVIDIA's driver": { verdict: 'skip' },
      'the persistence daemon': {
        verdict: 'warn',
        ...nvidia(),
        tree: (tree) => tree.addProcess(6000, { command: 'nvidia-persiste' }),
      },
    },
  },
  'dev.in_use.tpm_storage': {
    bad: { verdict: 'warn', tree: withScsi },
    unknown: denied('/sys/class/scsi_host'),
    also: {
      'a TPM': { verdict: 'fail', tree: (tree) => void tree.addChild(DEVICE, 'tpm/tpm0') },
      'swap space': {
        verdict: 'fail',
        tree: withSwap,
        files: {
          '/proc/swaps': 'Filename Type Size Used Priority\n/dev/nvme0n1 partition 1 0 -2\n',
        },
      },
      'a disk of which nobody can tell': {
        verdict: 'unknown',
        tree: withSwap,
        denied: ['/proc/self/mountinfo'],
      },
    },
  },
  'vgpu.framework': {
    bad: {
      verdict: 'warn',
      tree(tree) {
        withVf('nvidia')(tree);
        tree.file(`${tree.pathOf(VF)}/nvidia/current_vgpu_type`, '0\n');
        tree.file(`${tree.pathOf(DEVICE)}/mdev_supported_types/nvidia-63/name`, 'GRID\n');
      },
    },
    unknown: { device: { totalVfs: 4 }, denied: [path('sriov_totalvfs')] },
    also: {
      'wanted, and not there': {
        verdict: 'fail',
        request: { desired: { devices: { vgpu: 'mdev' } } },
      },
      mdev: {
        verdict: 'ok',
        request: { desired: { devices: { vgpu: 'mdev' } } },
        tree: (tree) =>
          tree.file(`${tree.pathOf(DEVICE)}/mdev_supported_types/nvidia-63/name`, 'GRID\n'),
      },
    },
  },
};

/** Verdicts of the checks in `cases.ts` beyond those named there. */
export const DEVICE_ALSO: Readonly<Record<string, NonNullable<Case['also']>>> = {
  'dev.group': {
    shared: {
      verdict: 'warn',
      tree: (tree) => void tree.addFunction('0000:3b:00.1', { group: 17 }),
    },
  },
  'dev.group_viable': {
    'the other function unbound': {
      verdict: 'ok',
      tree: (tree) => void tree.addFunction('0000:3b:00.1', { group: 17 }),
    },
  },
  'dev.companions': {
    'one that the host uses': {
      verdict: 'fail',
      tree(tree) {
        tree.addFunction('0000:3b:00.1', { group: 17, driver: 'tpm_crb' });
        tree.addChild('0000:3b:00.1', 'tpm/tpm0');
      },
    },
  },
  'dev.driver': {
    'that cannot let it go': {
      verdict: 'fail',
      device: { driver: 'nvme' },
      tree(tree) {
        tree.addChild(DEVICE, 'nvme/nvme0');
        tree.addProcess(6000, { command: 'fio', files: ['/dev/nvme0'] });
      },
    },
  },
  'dev.denylist': {
    'with the list off': {
      verdict: 'warn',
      device: { vendor: '0x8086', device: '0x37c8' },
      files: { '/sys/module/vfio_pci/parameters/disable_denylist': 'Y\n' },
    },
  },
  'dev.override': {
    "driverctl's": {
      verdict: 'warn',
      files: { [`/etc/driverctl.d/pci-${DEVICE}`]: 'vfio-pci\n' },
    },
    'another driver that there is': {
      verdict: 'warn',
      device: { override: 'pci-stub' },
      tree: (tree) => tree.directory('/sys/bus/pci/drivers/pci-stub'),
    },
  },
  'dev.boot_vga': {
    'the only display': {
      verdict: 'fail',
      device: { class: '0x030000', bootVga: true, driver: 'nouveau' },
    },
    'beside another': {
      verdict: 'warn',
      device: { class: '0x030000', bootVga: true, driver: 'nouveau' },
      tree: (tree) =>
        void tree.addFunction('0000:01:00.0', { class: '0x030000', driver: 'ast', group: 3 }),
    },
  },
  'dev.reset': {
    'that does not exist': { verdict: 'warn', device: { resetMethod: '' } },
    'that does not exist, and is required': {
      verdict: 'fail',
      device: { resetMethod: '' },
      request: { desired: { devices: { requireReset: true } } },
    },
    'by its bus alone, where one is required': {
      verdict: 'warn',
      device: { resetMethod: 'bus' },
      request: { desired: { devices: { requireReset: true } } },
    },
  },
  'dev.variant': {
    'not with VFIO': { verdict: 'ok', device: { driver: 'nouveau' } },
  },
  'dev.in_use.net': {
    'down, without addresses': {
      verdict: 'ok',
      tree: (tree) =>
        void tree.addChild(DEVICE, 'net/eth7', {
          flags: '0x1002',
          ifindex: '7',
          operstate: 'down',
        }),
    },
    'the way out of the host': {
      verdict: 'fail',
      tree(tree) {
        tree.addChild(DEVICE, 'net/eth7', { flags: '0x1003', ifindex: '7', operstate: 'up' });
        tree.file(
          '/proc/net/route',
          'Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\neth7\t00000000\t0109090A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n',
        );
      },
    },
  },
};
