/**
 * Every reason qmplug has for not doing something. Codes are API: callers switch on them, and
 * `exitStatusOf` in `src/cli` maps their class to an exit status. Messages are not API.
 */
export type ErrorCode =
  // Input
  | 'BAD_BDF'
  | 'BAD_ADDRESS'
  | 'BAD_ARGUMENT'
  | 'BAD_ID'
  | 'BAD_SIZE'
  | 'PROPERTY_NOT_ALLOWED'
  | 'SYNTAX'
  | 'BAD_DESIRED_STATE'
  // Choice of a device
  | 'NO_MATCH'
  | 'AMBIGUOUS'
  | 'TOO_FEW'
  | 'IDENTITY_CHANGED'
  | 'MOVED'
  | 'POLICY_FILE_UNSAFE'
  // Host
  | 'NO_IOMMU'
  | 'IN_USE'
  | 'DENIED'
  | 'GROUP_NOT_VIABLE'
  | 'GROUP_HELD'
  | 'CONFLICT'
  | 'DRIVER_MISSING'
  | 'WRONG_DRIVER'
  | 'PROBE_FAILED'
  | 'STUCK'
  | 'HOST_IO'
  | 'HOST_UNREADABLE'
  | 'MEMLOCK'
  | 'NO_IOMMUFD'
  // Host set-up
  | 'MODIFIED'
  | 'PLAN_CHANGED'
  | 'NO_BACKEND'
  | 'OTHER_MACHINE'
  | 'PROGRAM_FAILED'
  | 'QUARANTINED'
  | 'NOT_OURS'
  | 'NO_VFS'
  | 'NO_MDEV'
  | 'VF_TOKEN'
  // VM
  | 'VM_NOT_LOCAL'
  | 'VM_GONE'
  | 'UNSUPPORTED_MACHINE'
  | 'ATTACHED_ELSEWHERE'
  | 'ID_TAKEN'
  | 'NO_FREE_PORT'
  | 'NO_SUCH_PORT'
  | 'PORT_OCCUPIED'
  | 'PORT_NOT_HOTPLUGGABLE'
  | 'NO_WINDOW'
  | 'WINDOW_UNKNOWN'
  | 'NOT_REMOVABLE'
  | 'SLOT_SHARED'
  // QMP
  | 'CONNECT_FAILED'
  | 'MONITOR_BUSY'
  | 'NO_GREETING'
  | 'BAD_GREETING'
  | 'NEGOTIATION_FAILED'
  | 'PROTOCOL'
  | 'MESSAGE_TOO_LARGE'
  | 'COMMAND_NOT_ALLOWED'
  | 'COMMAND_FAILED'
  | 'COMMAND_TIMEOUT'
  | 'DISCONNECTED'
  | 'NOT_CONNECTED'
  | 'NOT_SENT'
  | 'NO_FD_PASSING'
  | 'ABORTED'
  | 'LISTEN_FAILED'
  // Plans
  | 'STEP_FAILED'
  | 'STATE_UNKNOWN'
  | 'STILL_PENDING'
  | 'ROLLBACK_FAILED'
  | 'UNPLUG_REFUSED'
  | 'GIVEN_BACK'
  | 'BATCH_FAILED'
  | 'LOCK_TIMEOUT'
  | 'RESERVE_TIMEOUT'
  | 'STATE_DAMAGED'
  | 'STATE_UNWRITABLE'
  // Transcripts
  | 'BAD_TRANSCRIPT'
  | 'TRANSCRIPT_MISMATCH'
  | 'RECORDING_INCOMPLETE'
  | 'BAD_FILE';

/** What an error may carry besides its code and message. */
export interface ErrorDetail {
  readonly cause?: unknown;
  /** What the reader can run or set; shown on its own line. */
  readonly remedy?: string | undefined;
  /** Machine-readable culprits: BDF, driver, mount point, port, pid. JSON values only. */
  readonly details?: Readonly<Record<string, unknown>> | undefined;
}

/**
 * What qmplug throws on purpose. Anything else that escapes is a bug.
 *
 *   QmplugError                 code, cause, remedy, details
 *   ├─ InputError               bad argument or configuration; nothing was sent
 *   ├─ RefusedError             checked first, nothing changed
 *   │  ├─ HostNotReadyError     group not viable, driver, memlock, mounted disk
 *   │  └─ NoFitError            no free port, or no window the BARs fit
 *   ├─ HostError                an effect on the host failed or never came back
 *   ├─ QmpError
 *   │  ├─ ConnectError          no session: socket, greeting or negotiation
 *   │  ├─ ProtocolError         the peer broke the protocol; session dropped
 *   │  ├─ CommandError          QEMU answered {"error": ...}; keeps request and reply
 *   │  ├─ TimeoutError          no answer in time; outcome UNKNOWN, reconcile
 *   │  └─ DisconnectedError     session ended while waiting; outcome UNKNOWN
 *   ├─ StepError                a plan step failed; says what was undone
 *   │  ├─ UnplugRefusedError    DEVICE_UNPLUG_GUEST_ERROR for this ID
 *   │  └─ RollbackError         an undo failed too; `cause` is the first failure
 *   ├─ PendingError             still under way at the deadline; nothing was freed
 *   ├─ UnknownStateError        the world could not be read; run recover
 *   └─ StateError               our own files cannot be read or written; run recover once they can
 */
export class QmplugError extends Error {
  readonly code: ErrorCode;
  /** What the reader can run or set; shown on its own line. */
  readonly remedy: string | undefined;
  /** Machine-readable culprits; JSON values only. */
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: ErrorDetail = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    this.remedy = options.remedy;
    this.details = options.details ?? {};
  }
}

/** A bad argument or configuration value; nothing was sent and nothing changed. */
export class InputError extends QmplugError {}

/** Refused after looking and before changing anything. */
export class RefusedError extends QmplugError {}

/** The host is not in a state that allows the change: viability, use, permissions, limits. */
export class HostNotReadyError extends RefusedError {}

/** No port, or no window of a port, takes the device. */
export class NoFitError extends RefusedError {}

/** An effect on the host (a sysfs write, a change of owner) failed or did not return. */
export class HostError extends QmplugError {}

/** Anything that went wrong between us and the monitor. */
export class QmpError extends QmplugError {}

/** There is no session: socket, greeting or negotiation. */
export class ConnectError extends QmpError {}

/** The peer broke the protocol; the session was dropped. */
export class ProtocolError extends QmpError {
  constructor(code: ErrorCode, message: string, options: ErrorDetail = {}) {
    const remedy = 'see who answers at that address, and that nobody else writes to it: ss -xlp';
    super(code, message, { remedy, ...options });
  }
}

/** Base of the two outcomes after which only a look at the world tells what happened. */
export class OutcomeUnknownError extends QmpError {}

/** No answer in time. The command may still run: its outcome is unknown. */
export class TimeoutError extends OutcomeUnknownError {}

/** The session ended while a command waited for its answer: its outcome is unknown. */
export class DisconnectedError extends OutcomeUnknownError {}

/** The files of locks, reservations and the journal fail: what was begun is not on record any further. */
export class StateError extends QmplugError {}
