// The functions of one slot: in together, with function 0 last, and out together.
import { attach, detach, detachAtOnce, recover, reset, status } from './scenario.mjs';

const FUNCTIONS = [{ driver: 'pci-testdev' }, { driver: 'edu' }, { driver: 'pci-testdev' }];
const ADDED = ['AddDevice done', 'AddDevice done', 'AddDevice done'];
const ATTACHED = ['d0.1 on rp0', 'd0.2 on rp0', 'd0 on rp0'];
const REMOVED = ['RemoveDevice done', 'AwaitRemoval done', 'ForgetAttachment done'];
const ASKED = ['RemoveDevice done', 'AwaitRemoval waiting', 'ForgetAttachment untouched'];

/** @param {string} state */
const all = (state) => [`d0.1 ${state}`, `d0.2 ${state}`, `d0 ${state}`];

/** @type {readonly import('./scenario.mjs').Scenario[]} */
export const functionScenarios = [
  {
    name: 'functions-of-a-slot',
    shows: 'a list takes one port, function 0 last; asking for less of it is refused',
    machine: { ports: ['rp0', 'rp1'] },
    steps: [
      {
        do: 'planAttach',
        request: { id: 'd0', emulate: FUNCTIONS },
        yields: {
          steps: ['AddDevice d0.1 on rp0', 'AddDevice d0.2 on rp0', 'AddDevice d0 on rp0'],
        },
      },
      attach('d0', { attached: ATTACHED, steps: ADDED }, { emulate: FUNCTIONS }),
      attach('d0', { attached: ATTACHED, already: true }, { emulate: FUNCTIONS }),
      attach('d0', { error: 'ATTACHED_ELSEWHERE' }, { emulate: FUNCTIONS.slice(1) }),
      attach('d0.1', { error: 'ATTACHED_ELSEWHERE' }),
      status({ ports: { rp0: 'used d0 d0.1 d0.2', rp1: 'free' }, attachments: ATTACHED }),
    ],
    events: [],
    leaves: ['d0', 'd0.1', 'd0.2'],
  },
  {
    name: 'functions-undone',
    shows: 'where function 0 is refused, those before it are taken back, newest first',
    not: ['5.2'],
    machine: { ports: ['rp0'], hotplug: 'native' },
    steps: [
      attach(
        'd0',
        {
          error: 'STEP_FAILED',
          because: 'unknown',
          steps: ['AddDevice undone', 'AddDevice undone', 'AddDevice undone'],
        },
        { emulate: [{ driver: 'nvme' }, ...FUNCTIONS.slice(1)] },
      ),
      status({ ports: { rp0: 'free' } }),
    ],
    events: ['DEVICE_DELETED d0.2', 'DEVICE_DELETED d0.1'],
    leaves: [],
  },
  {
    name: 'functions-unplug-native',
    shows: 'any one of the functions is all of them: one request, and every id to its end',
    not: ['5.2'],
    machine: { ports: ['rp0'], hotplug: 'native' },
    steps: [
      attach('d0', { attached: ATTACHED, steps: ADDED }, { emulate: FUNCTIONS }),
      detachAtOnce('d0.2', { removals: all('unplugged'), steps: REMOVED }, 'DEVICE_DELETED d0.2'),
      status({ ports: { rp0: 'free' } }),
    ],
    events: ['DEVICE_DELETED d0', 'DEVICE_DELETED d0.1', 'DEVICE_DELETED d0.2'],
    leaves: [],
  },
  {
    name: 'functions-pending',
    shows: 'the port stays taken by all of them until a reset ends the removal',
    not: ['5.2'],
    machine: { ports: ['rp0'] },
    steps: [
      attach('d0', { attached: ATTACHED, steps: ADDED }, { emulate: FUNCTIONS }),
      detachAtOnce('d0.1', { removals: all('pending'), steps: ASKED, pending: true }),
      status({
        ports: { rp0: 'pending d0 d0.1 d0.2' },
        attachments: ATTACHED,
        removals: all('pending'),
      }),
      reset('DEVICE_DELETED d0.1'),
      recover({ finished: ['detach d0.1 d0.2 d0'] }),
      status({ ports: { rp0: 'free' } }),
    ],
    events: ['RESET', 'DEVICE_DELETED d0', 'DEVICE_DELETED d0.2', 'DEVICE_DELETED d0.1'],
    leaves: [],
  },
  {
    name: 'guest-functions',
    shows: 'a guest sees every function once function 0 has come, and lets all of them go',
    not: ['5.2'],
    machine: { ports: ['rp0'], guest: ['nvme'] },
    steps: [
      attach(
        'd0',
        {
          attached: [
            'd0.1 on rp0 at 0000:01:00.1, 1 of 1 BARs placed',
            'd0 on rp0 at 0000:01:00.0, 1 of 1 BARs placed',
          ],
          steps: ['AddDevice done', 'AddDevice done', 'AwaitGuest done'],
        },
        {
          emulate: [
            { driver: 'nvme', serial: 'a' },
            { driver: 'nvme', serial: 'b' },
          ],
          wait: 'placed',
        },
      ),
      detach('d0.1', { removals: ['d0.1 unplugged', 'd0 unplugged'], steps: REMOVED }),
      status({ ports: { rp0: 'free' } }),
    ],
    events: ['DEVICE_DELETED d0', 'DEVICE_DELETED d0.1'],
    leaves: [],
  },
];
