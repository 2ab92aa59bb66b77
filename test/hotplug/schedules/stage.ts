import {
  audioFunction,
  createWorld,
  gpuFunction,
  GUESTS,
  rootPorts,
  type FunctionConfig,
  type QemuConfig,
  type VirtualMachine,
  type World,
} from '../../../src/simulator/index.js';
import { FAULTS, type Schedule, type Target } from './schedule.js';

const MIB = 1n << 20n;

/** Functions of the host, as their addresses and IOMMU groups name them. */
export const HOST_FUNCTIONS: Readonly<
  Record<Exclude<Target, 'd0' | 'd1'>, readonly FunctionConfig[]>
> = {
  accelerator: [
    {
      bdf: '0000:05:00.0',
      group: 5,
      vendorId: 0x1da3,
      deviceId: 0x1000,
      classCode: 0x120000,
      nativeDriver: 'habanalabs',
      bars: [{ index: 0, kind: 'pref64', sizeBytes: 1024n * MIB }],
      resetMethods: ['flr'],
    },
  ],
  // Two functions of one group.
  gpu: [
    gpuFunction({ bdf: '0000:3b:00.0', group: 17 }),
    audioFunction({ bdf: '0000:3b:00.1', group: 17 }),
  ],
  // Two functions of one slot, each in a group of its own, one with an override of its administrator.
  nic: [0, 1].map((fn) => ({
    bdf: `0000:41:00.${fn}`,
    group: 20 + fn,
    vendorId: 0x8086,
    deviceId: 0x1572,
    classCode: 0x020000,
    nativeDriver: 'i40e',
    ...(fn === 1 ? { driverOverride: 'i40e' } : {}),
    bars: [{ index: 0, kind: 'pref64' as const, sizeBytes: 8n * MIB }],
    resetMethods: ['flr'],
  })),
};

/** What a target is called in a VM. */
export const idsOf = (target: Target): readonly string[] => {
  switch (target) {
    case 'accelerator':
      return ['vfio_device_5_0'];
    case 'gpu':
      return ['vfio_device_17_0', 'vfio_device_17_1'];
    case 'nic':
      return ['vfio_device_20_0', 'vfio_device_21_0'];
    default:
      return [target];
  }
};

/** The monitors of a VM: two for whoever comes, the third for the daemon. */
export const monitorsOf = (vm: 0 | 1): readonly string[] =>
  ['a', 'b', 'daemon'].map((name) => `unix:/run/vm${vm}-${name}.sock`);

/** Who may open neither /dev/iommu nor the node of a device. */
const USER = { uid: 107, gid: 107 };

/** A host with three kinds of devices and two VMs with three ports each. */
export class Stage {
  readonly world: World;
  readonly #schedule: Schedule;
  readonly #vms: VirtualMachine[] = [];

  constructor(schedule: Schedule) {
    this.#schedule = schedule;
    const { iommufd = 'none' } = schedule;
    this.world = createWorld({
      seed: schedule.seed,
      guest: GUESTS[schedule.guest],
      chunks: schedule.chunks,
      qemu: [],
      host: {
        functions: Object.values(HOST_FUNCTIONS).flat(),
        ...(iommufd === 'none' ? {} : { cdev: true, loadedModules: ['vfio', 'vfio_pci'] }),
      },
      faults: {
        rules: schedule.rules ?? [],
        random: {
          probability: 0.02,
          only: FAULTS,
          limit: schedule.faultCount,
          lateMs: [4_000, 60_000],
        },
      },
    });
    for (const index of [0, 1] as const) this.startVm(index);
  }

  /** The VM that answers at an index's monitors now. */
  vm(index: 0 | 1): VirtualMachine {
    const vm = this.#vms[index];
    if (vm === undefined) throw new Error(`no VM ${index}`);
    return vm;
  }

  get vms(): readonly VirtualMachine[] {
    return this.#vms;
  }

  /** A VM at the same monitors, and after the first one under the same process number. */
  startVm(index: 0 | 1): void {
    const pid = this.#vms[index]?.process.pid;
    this.#vms[index] = this.world.startVm({
      ...this.#qemu(index),
      process: {
        ...(pid === undefined ? {} : { pid }),
        ...(this.#schedule.iommufd === 'handed' ? USER : {}),
      },
    });
  }

  #qemu(index: 0 | 1): QemuConfig {
    const { hotplug, release } = this.#schedule;
    return {
      hotplug,
      release,
      monitors: monitorsOf(index),
      devices: rootPorts(3, {
        properties: { 'pref64-reserve': Number(128n << 30n), 'mem-reserve': Number(64n << 20n) },
      }),
      firmware: { windowAlignment: 'natural' },
      timing: { vfioOpenMs: [120, 600] },
    };
  }
}

/** Ids of everything that was hot-plugged. */
export function idsIn(vm: VirtualMachine): ReadonlySet<string> {
  const hot = vm.machine.devices.filter((device) => device.hotplugged);
  return new Set(hot.map((device) => device.id ?? device.path));
}

/** The host but for the processes of VMs, which come and go. */
export function hostOf(world: World): string {
  return world
    .snapshot()
    .replaceAll(/^process .*\n?/gm, '')
    .trimEnd();
}
