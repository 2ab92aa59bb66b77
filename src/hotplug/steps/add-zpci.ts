import type { StepHandler } from '../../engine/index.js';
import type { AddZpci } from '../../plan/steps.js';
import { checkDeviceAdd } from '../../qmp/allow-list.js';
import { deviceAdd, type DeviceAddArguments } from '../../qmp/commands.js';
import { qomGetString } from '../../qmp/qom-commands.js';
import type { StepContext } from '../context.js';
import { StepError } from '../../engine/step-errors.js';
import { presenceOf } from '../presence.js';

/**
 * The partner of a PCI device on s390x, made before its device so that the guest knows that by the numbers
 * asked for. There is no undo: QEMU dies of the removal of a zpci without its device (7.2, 10.0). One that
 * is left over stays on record in QEMU itself and is used by the next attach of the same device.
 */
export const addZpci: StepHandler<AddZpci, StepContext> = {
  async check(step) {
    checkDeviceAdd(commandOf(step));
  },

  async do(step, { vm }) {
    const session = await vm.session();
    const { id, target } = step;
    await deviceAdd(session, commandOf(step));
    const paired = await qomGetString(session, `/machine/peripheral/${id}`, 'target');
    if (paired === target) return;
    throw new StepError('STEP_FAILED', `${id}: QEMU made it for ${paired} instead of ${target}`, {
      details: { id, target },
    });
  },

  probe: ({ id }, { vm }) => presenceOf(vm, id),
};

function commandOf({ id, target, uid, fid }: AddZpci): DeviceAddArguments {
  return {
    driver: 'zpci',
    id,
    target,
    ...(uid === undefined ? {} : { uid }),
    ...(fid === undefined ? {} : { fid }),
  };
}
