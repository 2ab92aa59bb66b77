// What a recorded scenario is made of: a machine, what is done to it in turn, and what comes of it.

/**
 * @typedef {object} Machine
 * @property {'q35' | 'pc' | 'virt' | 's390-ccw-virtio'} [kind] default `q35`; `virt` is that of Arm
 * @property {readonly string[]} [ports] ids of its root ports, in the order of their slots from 2
 * @property {'acpi' | 'native'} [hotplug] default `acpi`
 * @property {readonly string[]} [guest] boots a Linux guest with these drivers; without it the machine
 * stays paused
 * @property {readonly string[]} [args] further arguments of QEMU
 */

/**
 * @typedef {object} Intervention something that the controller does not do: another client's command, or
 * one typed into the guest
 * @property {string} [command] of QMP, on another monitor
 * @property {Readonly<Record<string, unknown>>} [arguments]
 * @property {string} [guest] a shell command
 * @property {string} [until] the event after which the scenario goes on, as in {@link Scenario.events}
 * @property {string} [departs] the id that the controller is to give up by itself before the scenario goes on
 */

/**
 * @typedef {object} Step one operation of the controller, or an intervention between two
 * @property {'attach' | 'planAttach' | 'detach' | 'status' | 'recover' | 'elsewhere'} do
 * @property {import('../../src/index.js').AttachRequest} [request] of an attach
 * @property {string} [what] of a detach
 * @property {import('../../src/index.js').DetachOptions} [options]
 * @property {string} [until] the event after which the scenario goes on; it may come after the outcome
 * @property {Intervention} [meanwhile] comes while the operation waits
 * @property {Intervention & { readonly at: string }} [between] comes at a boundary of a step, for example
 * `do AddDevice before-intent`
 * @property {Intervention} [intervention] of `elsewhere`
 * @property {import('./outcome.mjs').Outcome} [yields] undefined for `elsewhere`
 */

/**
 * @typedef {object} MdevOfHost
 * @property {string} parent
 * @property {string} type
 * @property {'vfio-ccw' | 'vfio-ap'} api
 * @property {string} uuid
 */

/**
 * @typedef {object} Scenario
 * @property {string} name of its fixture
 * @property {string} shows the rule that it pins
 * @property {Machine} machine
 * @property {readonly import('../../scripts/lab/qemu-versions.mjs').QemuVersion[]} [not] versions of QEMU on
 * which it comes out otherwise
 * @property {readonly import('../../src/testing.js').FunctionConfig[]} [host] functions of the host, which is
 * simulated while recording too; without any the host must not be touched
 * @property {MdevOfHost} [mdevs] a mediated device of that host
 * @property {true} [iommufd] the kernel of that host has iommufd; recorded on a real one, in the nested lab
 * @property {import('../../scripts/lab/stand-in.mjs').StandIn} [standIn] plays a device that only hardware
 * has; its transcripts are synthetic
 * @property {readonly Step[]} steps
 * @property {readonly string[]} events all that QEMU says of itself, in order: `RESET`, `DEVICE_DELETED d0`
 * @property {readonly string[]} leaves ids in the VM at the end, ports apart, sorted
 */

/** @typedef {Partial<import('../../src/index.js').AttachEmulated> & Pick<Step, 'between' | 'options'>} EmulatedOptions */

export const TEST_DEVICE = { driver: 'pci-testdev' };

/**
 * Attaches an emulated device, a `pci-testdev` unless told otherwise.
 *
 * @param {string} id
 * @param {import('./outcome.mjs').Outcome} yields
 * @param {EmulatedOptions} [more]
 * @returns {Step}
 */
export function attach(id, yields, { between, options, emulate = TEST_DEVICE, ...more } = {}) {
  const request = { id, emulate, ...more };
  return { do: 'attach', request, yields, ...given({ between, options }) };
}

/**
 * @param {string} what
 * @param {import('./outcome.mjs').Outcome} yields
 * @param {import('../../src/index.js').DetachOptions & Pick<Step, 'meanwhile' | 'until'>} [more]
 * @returns {Step}
 */
export function detach(what, yields, { meanwhile, until, ...options } = {}) {
  return { do: 'detach', what, options, yields, ...given({ meanwhile, until }) };
}

/**
 * Detaches without waiting for the guest: one look, and what is then not over is pending.
 *
 * @param {string} what
 * @param {import('./outcome.mjs').Outcome} yields
 * @param {string} [until]
 * @returns {Step}
 */
export function detachAtOnce(what, yields, until) {
  return detach(what, yields, { timeoutMs: 0, ...given({ until }) });
}

/** @param {import('./outcome.mjs').Outcome} yields @returns {Step} */
export function status(yields) {
  return { do: 'status', yields };
}

/**
 * @param {import('./outcome.mjs').Outcome} yields
 * @param {{ timeoutMs?: number }} [options]
 * @returns {Step}
 */
export function recover(yields, options = {}) {
  return { do: 'recover', yields, options };
}

/**
 * Another client's command.
 *
 * @param {string} command
 * @param {Readonly<Record<string, unknown>>} [args]
 * @param {string} [until]
 * @returns {Step}
 */
export function elsewhere(command, args = {}, until) {
  return {
    do: 'elsewhere',
    intervention: { command, arguments: args, ...given({ until }) },
  };
}

/** The machine's reset, by another client; on q35 with ACPI it completes what is pending.
 * @param {string} until @returns {Step} */
export function reset(until) {
  return elsewhere('system_reset', {}, until);
}

/**
 * The members that are there: an option left out and one that is `undefined` are not the same.
 *
 * @template {object} T
 * @param {T} members
 * @returns {{ [K in keyof T]?: Exclude<T[K], undefined> }}
 */
function given(members) {
  const there = Object.entries(members).filter(([, value]) => value !== undefined);
  return /** @type {any} */ (Object.fromEntries(there));
}
