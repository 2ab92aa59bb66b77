import { HostError } from '../errors.js';
import type { Bdf } from '../pci/pci-address.js';
import type { HostEffects } from './effects.js';
import { devicePath } from './pci-function.js';
import { hostFailure, readAttribute } from './reading.js';

/** A vGPU type that a VF can become. */
export interface VgpuType {
  /** Decimal; what is written to make one. */
  readonly id: string;
  readonly name: string;
}

/**
 * NVIDIA's vGPU of release 17 and later on kernels from 6.8: no mdev, the VF itself becomes the vGPU and stays
 * on NVIDIA's driver, which then is its VFIO driver. Read from the description of other tools; not seen on
 * hardware.
 */
export interface Vgpu {
  /** `0` where none is made. */
  readonly current: string;
  readonly creatable: readonly VgpuType[];
}

const NONE = '0';
const WRITE_DEADLINE_MS = 30_000;
const currentPath = (bdf: Bdf) => `${devicePath(bdf)}/nvidia/current_vgpu_type`;

/** Lines of `creatable_vgpu_types`: `557   : NVIDIA L40-1B`, below a heading. */
export function parseVgpuTypes(text: string): readonly VgpuType[] {
  return text.split('\n').flatMap((line) => {
    const [, id, name] = /^\s*(\d+)\s*:\s*(\S.*?)\s*$/.exec(line) ?? [];
    return id === undefined || name === undefined ? [] : [{ id, name }];
  });
}

/** Undefined for a function that offers no vGPU this way. */
export async function readVgpu(effects: HostEffects, bdf: Bdf): Promise<Vgpu | undefined> {
  const current = (await readAttribute(effects, currentPath(bdf)))?.trim();
  if (current === undefined) return undefined;
  const types = await readAttribute(effects, `${devicePath(bdf)}/nvidia/creatable_vgpu_types`);
  return { current, creatable: parseVgpuTypes(types ?? '') };
}

/** Whether the VF is a vGPU now: then it keeps its driver when it goes into a VM. */
export async function isVgpu(effects: HostEffects, bdf: Bdf): Promise<boolean> {
  const vgpu = await readVgpu(effects, bdf);
  return vgpu !== undefined && vgpu.current !== NONE;
}

/**
 * Makes the VF a vGPU of this type, or none with `0`, and reads it back.
 *
 * @throws {HostError} `STUCK`, `HOST_IO`.
 */
export async function setVgpuType(effects: HostEffects, bdf: Bdf, id: string): Promise<void> {
  if ((await readVgpu(effects, bdf))?.current === id) return;
  try {
    await effects.write(currentPath(bdf), id, { deadlineMs: WRITE_DEADLINE_MS });
  } catch (error) {
    throw hostFailure(bdf, error);
  }
  const current = (await readVgpu(effects, bdf))?.current;
  if (current === id) return;
  throw new HostError('HOST_IO', `${bdf}: vGPU type ${id} written, ${current ?? 'none'} read`, {
    remedy: `dmesg | grep ${bdf}`,
    details: { device: bdf, type: id, current: current ?? null },
  });
}
