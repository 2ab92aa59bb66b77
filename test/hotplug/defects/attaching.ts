import { OutcomeUnknownError } from '../../../src/errors.js';
import { StepError } from '../../../src/engine/step-errors.js';
import type { AttachPlanning } from '../../../src/plan/plan-attach.js';
import type { AddDevice, HotplugStep } from '../../../src/plan/steps.js';
import { inHandlers, inPlanner, type Defect } from './defect.js';
import { command, oneByOne } from './story.js';

/** Changes the steps of a plan, where it is one. */
function withSteps(
  planning: AttachPlanning,
  change: (steps: readonly HotplugStep[]) => readonly HotplugStep[],
): AttachPlanning {
  if (planning.kind !== 'plan') return planning;
  return { ...planning, plan: { ...planning.plan, steps: change(planning.plan.steps) } };
}

const isAdd = (step: HotplugStep): step is AddDevice => step.kind === 'AddDevice';

export const attachDefects: readonly Defect[] = [
  inPlanner(
    'function 0 goes in first',
    ['works-undisturbed'],
    (own) => ({
      attach: (request, world) =>
        withSteps(own.attach(request, world), (steps) => {
          const adds = steps.filter(isAdd).sort((a, b) => (a.devfn ?? 0) - (b.devfn ?? 0));
          return steps.map((step) => (isAdd(step) ? (adds.shift() ?? step) : step));
        }),
    }),
    { guest: 'linux', faultCount: 0, batches: oneByOne(command('attach', 'gpu')) },
  ),

  inPlanner(
    'ids are counted anew by each process, not read from the VM',
    ['works-undisturbed'],
    (own) => ({
      attach: (request, world) => {
        const first = world.vm.devices.find(({ id }) => id?.startsWith('vfio_device_'))?.id;
        return withSteps(own.attach(request, world), (steps) =>
          steps.map((step) =>
            isAdd(step) && step.host !== undefined ? { ...step, id: first ?? step.id } : step,
          ),
        );
      },
    }),
    {
      guest: 'linux',
      faultCount: 0,
      batches: oneByOne(command('attach', 'accelerator'), command('attach', 'gpu')),
    },
  ),

  inPlanner(
    'ports are chosen by query-pci alone',
    ['works-undisturbed'],
    (own) => ({
      attach: (request, world) => {
        // It shows nothing behind a port until the firmware has numbered the bus.
        const ports = world.vm.ports.map((port) =>
          port.secondaryBus.known && port.secondaryBus.value > 0
            ? port
            : { ...port, occupants: [] },
        );
        return own.attach(request, { ...world, vm: { ...world.vm, ports } });
      },
    }),
    { guest: 'booting', faultCount: 0 },
  ),

  inPlanner(
    'an attach is undone past its commit point',
    ['forward-only', 'host-restored', 'recovers'],
    (own) => ({
      attach: (request, world) => {
        const planning = own.attach(request, world);
        if (planning.kind !== 'plan') return planning;
        const { plan } = planning;
        const commit = { step: plan.steps.length - 1, at: 'done' as const };
        return { ...planning, plan: { ...plan, commit } };
      },
    }),
  ),

  inHandlers(
    'unknown counts as failed',
    ['no-phantom', 'true-answer'],
    (own) => ({
      AddDevice: {
        ...own.AddDevice,
        do: async (step, context, record) => {
          try {
            return await own.AddDevice.do(step, context, record);
          } catch (cause) {
            if (!(cause instanceof OutcomeUnknownError)) throw cause;
            throw new StepError('STEP_FAILED', 'no answer: it failed', { cause });
          }
        },
        changedNothing: () => true,
      },
    }),
    {
      guest: 'linux',
      faultCount: 0,
      rules: [{ fault: 'disconnect-after-run', at: { command: 'device_add' } }],
      batches: oneByOne(command('attach', 'd0', { waits: false })),
    },
  ),
];
