import { expect, it } from 'vitest';
import { exitStatusOf, exitStatusOfLook } from '../../src/cli/exit-status.js';
import * as api from '../../src/index.js';

const detail = { undoFailures: [] };

/** One of each class of error, with the exit status it must get. */
const CASES: readonly (readonly [error: Error, status: number])[] = [
  [new Error('a bug'), 1],
  [new api.QmplugError('STATE_DAMAGED', 'a damaged journal'), 1],
  [new api.QmpError('NOT_SENT', 'sent or not is not told'), 1],
  [new api.InputError('BAD_ARGUMENT', 'bad'), 2],
  [new api.RefusedError('PORT_OCCUPIED', 'refused'), 3],
  [new api.HostNotReadyError('GROUP_NOT_VIABLE', 'refused'), 3],
  [new api.NoFitError('NO_FREE_PORT', 'refused'), 3],
  [new api.ConnectError('MONITOR_BUSY', 'busy'), 3],
  [new api.HostError('HOST_UNREADABLE', 'not readable'), 3],
  [new api.ProtocolError('PROTOCOL', 'nonsense'), 3],
  [new api.QmpError('ABORTED', 'given up', { details: { sent: false } }), 3],
  [new api.StepError('STEP_FAILED', 'failed, undone'), 4],
  [new api.UnplugRefusedError('UNPLUG_REFUSED', 'the guest said no'), 4],
  [new api.PendingError('STILL_PENDING', 'pending'), 5],
  [new api.OutcomeUnknownError('ABORTED', 'unknown'), 6],
  [new api.TimeoutError('COMMAND_TIMEOUT', 'unknown'), 6],
  [new api.DisconnectedError('DISCONNECTED', 'unknown'), 6],
  [new api.UnknownStateError('STATE_UNKNOWN', 'unknown'), 6],
  [new api.RollbackError('undoing failed', detail), 6],
  [new api.StateError('STATE_UNWRITABLE', 'the disk is full'), 6],
];

it.each(CASES)('%s ends with status %i', (error, status) => {
  expect(exitStatusOf(error)).toBe(status);
});

it('knows every class of error that the library exports', () => {
  const tested = new Set<unknown>(CASES.map(([error]) => error.constructor));
  const isErrorClass = (value: unknown) =>
    typeof value === 'function' &&
    (value === api.QmplugError || value.prototype instanceof api.QmplugError);
  const exported = Object.values<unknown>(api).filter(isErrorClass);
  expect(exported.length).toBeGreaterThan(10);
  expect(exported.filter((value) => !tested.has(value))).toEqual([]);
});

it('calls nothing unknown after a look that changed nothing', () => {
  expect(exitStatusOfLook(new api.TimeoutError('COMMAND_TIMEOUT', 'no answer'))).toBe(3);
  expect(exitStatusOfLook(new api.InputError('BAD_ADDRESS', 'bad'))).toBe(2);
  expect(exitStatusOfLook(new Error('a bug'))).toBe(1);
});
