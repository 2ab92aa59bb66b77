import type { Presence } from '../engine/index.js';
import { childType, qomList } from '../qmp/qom-commands.js';
import type { VmLink } from './vm-link.js';

/**
 * Ids in the VM's device tree: the truth about what exists. None when the VM has ended.
 *
 * @throws {QmpError} when QEMU does not tell.
 */
export async function deviceIds(vm: VmLink): Promise<ReadonlySet<string>> {
  try {
    const entries = await qomList(await vm.session(), '/machine/peripheral');
    return new Set(entries.filter((entry) => childType(entry)).map((entry) => entry.name));
  } catch (error) {
    if (await vm.isGone()) return new Set();
    throw error;
  }
}

/** Whether a device is in the VM. Never throws for what could not be read. */
export async function presenceOf(vm: VmLink, id: string): Promise<Presence> {
  try {
    return (await deviceIds(vm)).has(id) ? 'present' : 'absent';
  } catch {
    return 'unreadable';
  }
}
