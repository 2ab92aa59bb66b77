import type { HotplugStep } from '../../../src/plan/steps.js';
import { inHandlers, inPlanner, type Defect } from './defect.js';

/** Moves the steps of a kind to right before the proof that the devices are gone. */
function tooEarly(kind: HotplugStep['kind'], steps: readonly HotplugStep[]) {
  const early = steps.filter((step) => step.kind === kind);
  const rest = steps.filter((step) => step.kind !== kind);
  const proof = rest.findIndex((step) => step.kind === 'AwaitRemoval');
  return [...rest.slice(0, proof), ...early, ...rest.slice(proof)];
}

export const hostDefects: readonly Defect[] = [
  inPlanner(
    'the driver is given back before the device is gone',
    ['hands-off', 'recovers', 'works-undisturbed'],
    (own) => ({
      detach: (...args) => {
        const plan = own.detach(...args);
        return { ...plan, steps: tooEarly('RestoreDriver', plan.steps) };
      },
    }),
  ),

  inPlanner('the reservation ends before the group node is closed', ['reserved'], (own) => ({
    detach: (...args) => {
      const plan = own.detach(...args);
      return { ...plan, steps: tooEarly('ReleaseGroup', plan.steps) };
    },
  })),

  inHandlers('the override is not given back', ['host-restored'], (own) => ({
    RestoreDriver: {
      ...own.RestoreDriver,
      do: (step, context, record) => {
        const found = step.record as { readonly binding: object };
        const forgetful = { ...found, binding: { ...found.binding, override: null } };
        return own.RestoreDriver.do({ ...step, record: forgetful }, context, record);
      },
    },
  })),
];
