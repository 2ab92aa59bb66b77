import type { Presence, StepHandler } from '../../engine/index.js';
import { StepError } from '../../engine/step-errors.js';
import { IOMMU_NODE } from '../../host/cdev.js';
import { hostFailure } from '../../host/reading.js';
import type { AddIommufd, RemoveIommufd } from '../../plan/steps.js';
import { objectAddIommufd, objectDel } from '../../qmp/commands.js';
import { CommandError } from '../../qmp/failures.js';
import type { StepContext } from '../context.js';
import { iommufdUsers, objectType } from '../iommufd-users.js';
import { passNode, takeBack } from '../pass-node.js';
import type { VmLink } from '../vm-link.js';

/**
 * The one object of ours through which all devices of the VM share a mapping of its memory. It is made with the first
 * of them and goes with the last, and who they are is asked of QEMU each time: nobody counts.
 */
export const addIommufd: StepHandler<AddIommufd, StepContext> = {
  async check({ fd }, { host }) {
    if (fd === undefined) return;
    const file = await host.open(IOMMU_NODE).catch((error: unknown) => {
      throw hostFailure(IOMMU_NODE, error);
    });
    await file.close();
  },

  async do({ id, fd }, { vm, host }) {
    const session = await vm.session();
    if ((await objectType(session, id)) === 'iommufd') return;
    if (fd !== undefined) await passNode({ host, session }, { node: IOMMU_NODE, name: fd });
    try {
      await objectAddIommufd(session, { id, fd });
    } catch (error) {
      // QEMU may have refused before it looked at the descriptor.
      if (fd !== undefined && error instanceof CommandError) await takeBack(session, fd);
      throw error;
    }
    if ((await objectType(session, id)) === 'iommufd') return;
    throw new StepError('STEP_FAILED', `${id}: QEMU took it, but has no such object`, {
      details: { id },
    });
  },

  async undo({ id, fd }, { vm }) {
    if (await vm.isGone()) return;
    if (fd !== undefined) await takeBack(await vm.session(), fd);
    await removeUnused(vm, id);
  },

  async probe({ id }, { vm }): Promise<Presence> {
    try {
      return (await objectType(await vm.session(), id)) === 'iommufd' ? 'present' : 'absent';
    } catch {
      return (await vm.isGone()) ? 'absent' : 'unreadable';
    }
  },
};

/** Takes the object away with its last user; while there is another it stays, and that is as it should be. */
export const removeIommufd: StepHandler<RemoveIommufd, StepContext> = {
  async do({ id }, { vm }) {
    if (await vm.isGone()) return;
    await removeUnused(vm, id);
  },

  async probe({ id }, { vm }): Promise<Presence> {
    try {
      if (await vm.isGone()) return 'present';
      const session = await vm.session();
      if ((await objectType(session, id)) === undefined) return 'present';
      return (await iommufdUsers(session, id)).length > 0 ? 'present' : 'absent';
    } catch {
      return 'unreadable';
    }
  },
};

async function removeUnused(vm: VmLink, id: string): Promise<void> {
  const session = await vm.session();
  if ((await objectType(session, id)) !== 'iommufd') return;
  if ((await iommufdUsers(session, id)).length > 0) return;
  try {
    await objectDel(session, id);
  } catch (error) {
    // A device that came meanwhile, or went with its last reference not dropped yet: QEMU counts too.
    const stays =
      error instanceof CommandError &&
      (error.failure.kind === 'object-in-use' || error.failure.kind === 'object-not-found');
    if (!stays) throw error;
  }
}
