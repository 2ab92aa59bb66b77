// How a container runtime's shim embeds qmplug: the device goes in with the container and comes back after it.
import {
  InputError,
  openVm,
  PendingError,
  QmplugError,
  RefusedError,
  RollbackError,
  StepError,
  UnknownStateError,
  UnplugRefusedError,
} from 'qmplug';

/**
 * Where the sandbox's VM is, and what every call goes through.
 *
 * @typedef {object} Sandbox
 * @property {string} address the VM's monitor: `/run/vm.sock`
 * @property {import('qmplug').Environment} environment one for the whole shim
 * @property {AbortSignal} signal the shim's end: stops the waiting, never what was begun
 */

/**
 * Gives the VM a device, and tells the agent in the guest where to look for it.
 *
 * @param {Sandbox} sandbox
 * @param {import('qmplug').AttachRequest} request
 */
export async function addDevice({ address, environment, signal }, request) {
  const vm = await openVm(address, { environment, signal });
  try {
    // Whatever a shim that was killed had begun is finished or undone first.
    const { finished, undone } = await vm.recover({ signal });
    const preview = await vm.planAttach(request);
    const steps = preview.kind === 'plan' ? preview.plan.steps.map(({ kind }) => kind) : [];
    const { attachment } = await vm.attach(request, { signal, timeoutMs: 10_000 });
    const { ports } = await vm.status({ signal });
    return {
      recovered: [...finished, ...undone].flatMap(({ ids }) => ids),
      steps,
      devices: attachment.functions.map(({ id, port, guestPath }) => ({ id, port, guestPath })),
      freePorts: ports.filter(({ state }) => state === 'free').map(({ id }) => id),
    };
  } finally {
    await vm.close();
  }
}

/**
 * Takes a device back. What is `pending` is not free: the guest still has it, and the next shim or
 * `qmplug recover` finishes it.
 *
 * @param {Sandbox} sandbox
 * @param {string} id an id, or a host address
 */
export async function removeDevice({ address, environment, signal }, id) {
  const vm = await openVm(address, { environment, signal });
  try {
    const { removals, pending } = await vm.detach(id, { signal, timeoutMs: 30_000 });
    return { removals: removals.map(({ id, state }) => ({ id, state })), pending: pending ?? null };
  } finally {
    await vm.close();
  }
}

/**
 * What the runtime above makes of a failure. Everything that qmplug throws on purpose is a QmplugError; its
 * class says how far it came, its code why.
 *
 * @param {unknown} error
 */
export function explain(error) {
  if (!(error instanceof QmplugError)) throw error;
  const { code, message, remedy } = error;
  const fate =
    FATES.find(({ of }) => error instanceof of)?.fate ?? 'the VM does not answer: try again';
  return { code, message, remedy: remedy ?? null, fate };
}

/** The first that fits counts. */
const FATES = [
  { of: InputError, fate: 'the request is wrong: nothing was sent' },
  { of: RefusedError, fate: 'not here: nothing was changed' },
  { of: PendingError, fate: 'undoing it waits for the guest: try again' },
  { of: UnplugRefusedError, fate: 'the guest keeps it: stop what uses it there' },
  { of: RollbackError, fate: 'something is left to do: recover' },
  { of: UnknownStateError, fate: 'something is left to do: recover' },
  { of: StepError, fate: 'it failed: everything was undone' },
];
