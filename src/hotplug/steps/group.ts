import { conflict, type StepHandler } from '../../engine/index.js';
import { groupKey } from '../../plan/checks.js';
import type { ReleaseGroup, ReserveGroup } from '../../plan/steps.js';
import type { StepContext } from '../context.js';

/** Takes the IOMMU group for the VM, host-wide. */
export const reserveGroup: StepHandler<ReserveGroup, StepContext> = {
  async check({ group }, { reservations, vm }) {
    const holder = await reservations.read(groupKey(group));
    if (holder !== undefined && holder.scope !== vm.key) throw conflict(holder.key, vm.key, holder);
  },
  async do({ group, planId }, { reservations, vm, journal }) {
    const wanted = { key: groupKey(group), scope: vm.key, journal: journal.location };
    await reservations.take(wanted, planId);
  },
  async undo({ group, planId }, { reservations }) {
    await reservations.release(groupKey(group), planId);
  },
  async probe({ group, planId }, { reservations }) {
    const holder = await reservations.read(groupKey(group));
    return holder?.planIds.includes(planId) ? 'present' : 'absent';
  },
};

/** Gives the group back once nothing of the attachment is left. */
export const releaseGroup: StepHandler<ReleaseGroup, StepContext> = {
  async do({ group, planId }, { reservations }) {
    await reservations.release(groupKey(group), planId);
  },
  async probe({ group, planId }, { reservations }) {
    const holder = await reservations.read(groupKey(group));
    return holder?.planIds.includes(planId) ? 'absent' : 'present';
  },
};
