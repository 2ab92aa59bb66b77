// What an operation came to, in the few words that a scenario states. Times are left out.

/**
 * @typedef {object} Outcome what was not so is absent
 * @property {readonly string[]} [attached] `d0 on rp0 at 0000:01:00.0, 1 of 1 BARs placed`
 * @property {true} [already]
 * @property {readonly string[]} [removals] `d0 unplugged`
 * @property {true} [pending]
 * @property {readonly string[]} [steps] `AddDevice done`; of a preview `AddDevice d0 on rp0`
 * @property {Readonly<Record<string, string>>} [ports] `used d0`
 * @property {readonly string[]} [attachments] `d0 on rp0`
 * @property {readonly string[]} [missing] attached once, and gone unasked
 * @property {readonly string[]} [finished] `detach d0`
 * @property {readonly string[]} [undone]
 * @property {readonly string[]} [open]
 * @property {string} [error] its code
 * @property {string} [because] what kind of refusal QEMU's was
 */

/** @param {import('../../src/index.js').AttachResult} result @returns {Outcome} */
export function ofAttach({ attachment, steps, pending }) {
  return lean({
    attached: attachment.functions.map(describeFunction),
    already: attachment.already || undefined,
    steps: describeSteps(steps),
    pending: pending !== undefined || undefined,
  });
}

/** @param {import('../../src/index.js').AttachPreview} preview @returns {Outcome} */
export function ofPreview(preview) {
  if (preview.kind === 'already') return ofAttach(preview.result);
  const steps = preview.plan.steps.map((step) =>
    step.kind === 'AddDevice' ? `${step.kind} ${step.id} on ${step.port}` : step.kind,
  );
  return { steps };
}

/** @param {import('../../src/index.js').DetachResult} result @returns {Outcome} */
export function ofDetach({ removals, steps, pending }) {
  return lean({
    removals: removals.map(({ id, state }) => `${id} ${state}`),
    steps: describeSteps(steps),
    pending: pending !== undefined || undefined,
  });
}

/** @param {import('../../src/index.js').VmStatus} status @returns {Outcome} */
export function ofStatus({ ports, attachments, removals }) {
  return lean({
    ports: Object.fromEntries(
      ports.map(({ id, state, occupants }) => [id, [state, ...occupants].join(' ')]),
    ),
    attachments: attachments.flatMap(({ functions }) => functions.map(describeFunction)),
    missing: attachments.flatMap(({ missing }) => missing),
    removals: removals.map(({ id, state }) => `${id} ${state}`),
  });
}

/** @param {import('../../src/index.js').RecoveryResult} result @returns {Outcome} */
export function ofRecovery({ finished, undone, open }) {
  /** @param {readonly import('../../src/index.js').RecoveryItem[]} items */
  const describe = (items) => items.map(({ kind, ids }) => [kind, ...ids].join(' '));
  return lean({ finished: describe(finished), undone: describe(undone), open: describe(open) });
}

/**
 * A failure that qmplug throws on purpose.
 *
 * @param {unknown} error
 * @returns {Outcome}
 * @throws anything else.
 */
export function ofError(error) {
  if (!(error instanceof Error) || !('code' in error) || !('details' in error)) throw error;
  const { code, details, steps } = /** @type {import('../../src/index.js').StepError} */ (error);
  const { kind } = details;
  return lean({
    error: code,
    because: typeof kind === 'string' ? kind : undefined,
    steps: describeSteps(steps ?? []),
  });
}

/** @param {import('../../src/index.js').FunctionReport} report */
function describeFunction({ id, port, guestBdf, bars }) {
  const place = `${id} on ${port}`;
  if (guestBdf === undefined) return place;
  const placed = bars.filter(({ address }) => address !== undefined);
  return `${place} at ${guestBdf}, ${placed.length} of ${bars.length} BARs placed`;
}

/** @param {readonly import('../../src/index.js').StepReport[]} steps */
function describeSteps(steps) {
  return steps.map(({ kind, outcome }) => `${kind} ${outcome}`);
}

/**
 * Without what is empty.
 *
 * @param {{ [K in keyof Outcome]: Outcome[K] | undefined }} outcome
 * @returns {Outcome}
 */
function lean(outcome) {
  const isSomething = (/** @type {unknown} */ value) =>
    value !== undefined && !(Array.isArray(value) && value.length === 0);
  return Object.fromEntries(Object.entries(outcome).filter(([, value]) => isSomething(value)));
}
