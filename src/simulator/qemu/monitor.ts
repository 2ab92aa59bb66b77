import { stringifyJson, type JsonObject, type JsonValue } from '../../json.js';
import type { Fault, Faults } from '../faults.js';
import { findCommand, runCommand } from './commands.js';
import type { Connection } from './connection.js';
import { QmpFailure } from './failure.js';
import type { Machine } from './machine.js';
import { NamedFiles } from './named-files.js';
import { readRequest, type BadRequest, type Request } from './request.js';
import { RequestScanner } from './request-scanner.js';

/** Requests QEMU takes in before it stops reading, with and without out-of-band execution. */
const QUEUE_LIMIT = { oob: 8, plain: 1 };
/** listen(2) backlog 1: one client is served, two more connect and wait. */
const CLIENT_LIMIT = 3;
/** Allowed out of band by QEMU 10.0; none of them is simulated. */
const OOB_COMMANDS = new Set(['migrate-recover', 'migrate-pause', 'yank', 'query-yank']);
/** 2023-11-14 22:13:20 UTC, so that timestamps look like timestamps. */
const EPOCH_SECONDS = 1_700_000_000;
/** How long an answer is held back so that events overtake it. */
const OVERTAKE_MS = 250;

export interface MonitorOptions {
  readonly machine: Machine;
  readonly faults: Faults;
  readonly address: string;
  readonly oob: boolean;
  /** Ends QEMU as SIGKILL does. */
  readonly kill: () => void;
  /** Ends QEMU in good order, after `quit`. */
  readonly exit: () => void;
}

interface Session {
  readonly connection: Connection;
  readonly scanner: RequestScanner;
  readonly queue: (Request | BadRequest)[];
  negotiated: boolean;
  pipelined: boolean;
  busy: boolean;
}

/** One QMP monitor: serves one client, lets later ones wait without a word. */
export class Monitor {
  readonly address: string;
  readonly #options: MonitorOptions;
  readonly #machine: Machine;
  readonly #waiting: Connection[] = [];
  /** They outlive the client that handed them over. */
  readonly #files = new NamedFiles();
  #session: Session | undefined;

  constructor(options: MonitorOptions) {
    this.#options = options;
    this.#machine = options.machine;
    this.address = options.address;
    this.#machine.onEvent((event, data) => {
      this.#sendEvent(event, data);
    });
  }

  /** Clients connected, the served one included. */
  get clientCount(): number {
    return this.#waiting.length + (this.#session ? 1 : 0);
  }

  get isFull(): boolean {
    return this.clientCount >= CLIENT_LIMIT;
  }

  /** A client connects. `silent` withholds the greeting, as a monitor held by another client does. */
  accept(connection: Connection, silent: boolean): void {
    if (silent) return;
    if (this.#session) this.#waiting.push(connection);
    else this.#serve(connection);
  }

  /** QEMU is gone: every connection ends. */
  shutDown(orderly: boolean): void {
    for (const connection of [this.#session?.connection, ...this.#waiting.splice(0)]) {
      if (orderly) connection?.finish();
      else connection?.cut();
    }
    this.#session = undefined;
  }

  #serve(connection: Connection): void {
    const session: Session = {
      connection,
      scanner: new RequestScanner(),
      queue: [],
      negotiated: false,
      pipelined: false,
      busy: false,
    };
    this.#session = session;
    this.#write(session, this.#greeting());
    connection.serve({
      onBytes: (data, file) => {
        if (file !== undefined) this.#files.arrive(this.#machine.backend.receive(file));
        this.#receive(session, data);
      },
      onGone: () => {
        this.#leave(session);
      },
    });
  }

  #leave(session: Session): void {
    if (this.#session !== session) return;
    // Queued requests and half a request are dropped; what runs completes unheard.
    session.queue.length = 0;
    this.#session = undefined;
    const next = this.#waiting.find(({ open }) => open);
    this.#waiting.splice(0, next ? this.#waiting.indexOf(next) + 1 : Infinity);
    if (next) this.#serve(next);
  }

  #greeting(): JsonObject {
    const { major, minor, micro, package: name } = this.#machine.release;
    return {
      QMP: {
        version: { qemu: { micro, minor, major }, package: name },
        capabilities: this.#options.oob ? ['oob'] : [],
      },
    };
  }

  #receive(session: Session, data: Uint8Array): void {
    for (const scanned of session.scanner.push(data)) {
      const request =
        scanned.kind === 'text'
          ? readRequest(scanned.text)
          : { failure: new QmpFailure(scanned.description), id: undefined };
      const overtakes = session.pipelined && 'outOfBand' in request && request.outOfBand;
      if (overtakes) this.#begin(session, request, 0);
      else session.queue.push(request);
    }
    this.#next(session);
  }

  /** Answers in order: the next request starts when the one before has its answer. */
  #next(session: Session): void {
    while (!session.busy && this.#session === session) {
      const request = session.queue.shift();
      if (request === undefined) return;
      const limit = session.pipelined ? QUEUE_LIMIT.oob : QUEUE_LIMIT.plain;
      const waiting = Math.min(session.queue.length, limit);
      this.#begin(session, request, waiting);
    }
  }

  #begin(session: Session, request: Request | BadRequest, waiting: number): void {
    if ('failure' in request) {
      this.#answerFailure(session, request.id, request.failure);
      return;
    }
    const { id, command, args } = request;
    try {
      if (this.#negotiate(session, request)) return;
      if (request.outOfBand && !OOB_COMMANDS.has(command)) {
        throw new QmpFailure(`The command ${command} does not support OOB`);
      }
      findCommand(this.#machine, command);
    } catch (error) {
      if (!(error instanceof QmpFailure)) throw error;
      this.#answerFailure(session, id, error);
      return;
    }
    const source = `qmp:${this.#machine.label}`;
    const queued = waiting > 0 ? ` (${waiting} more queued)` : '';
    this.#machine.trace.add(source, () => `${command} ${stringifyJson(args)}${queued}`);
    session.busy = true;
    this.#run(session, request);
  }

  /** True when the request was about negotiation and is answered. @throws {QmpFailure} */
  #negotiate(session: Session, { command, args, id }: Request): boolean {
    if (command !== 'qmp_capabilities') {
      if (session.negotiated) return false;
      throw new QmpFailure(
        "Expecting capabilities negotiation with 'qmp_capabilities'",
        'CommandNotFound',
      );
    }
    if (session.negotiated) {
      throw new QmpFailure(
        'Capabilities negotiation is already complete, command ignored',
        'CommandNotFound',
      );
    }
    const wanted = Array.isArray(args.enable) ? (args.enable as readonly JsonValue[]) : [];
    for (const capability of wanted) {
      if (capability !== 'oob') {
        const name = typeof capability === 'string' ? capability : '';
        throw new QmpFailure(`Parameter 'null' does not accept value '${name}'`);
      }
      if (!this.#options.oob) throw new QmpFailure('Capability oob not available');
    }
    session.negotiated = true;
    session.pipelined = wanted.length > 0;
    this.#answer(session, id, {});
    return true;
  }

  #run(session: Session, request: Request): void {
    const { command, args } = request;
    const { faults, kill } = this.#options;
    const machine = this.#machine;
    const site = { vm: machine.label, command, device: deviceIn(args) };
    const fault = faults.draw('run', site);
    if (fault?.name === 'vm-killed-before-run') {
      kill();
      return;
    }
    const opensVfio = command === 'device_add' && args.driver === 'vfio-pci';
    const durationMs =
      (fault?.delayMs ?? 0) +
      machine.drawMs('commandMs') +
      (opensVfio ? machine.drawMs('vfioOpenMs') : 0);
    machine.loop.run(durationMs, () => {
      const outcome = this.#outcome(command, args);
      if (!(outcome instanceof QmpFailure) || command !== 'device_add') {
        this.#finish(session, request, outcome);
        return 0;
      }
      // A failing device_add waits for RCU before it answers, and the main loop with it.
      const drainMs = machine.drawMs('failureMs');
      machine.clock.after(drainMs, () => {
        machine.finishDeletions();
        this.#finish(session, request, outcome);
      });
      return drainMs;
    });
  }

  #outcome(command: string, args: JsonObject): JsonValue | QmpFailure {
    try {
      return runCommand(this.#machine, { name: command, args, files: this.#files });
    } catch (error) {
      if (error instanceof QmpFailure) return error;
      throw error;
    }
  }

  #finish(session: Session, request: Request, outcome: JsonValue | QmpFailure): void {
    const { id, command, args } = request;
    const answer = () => {
      session.busy = false;
      if (outcome instanceof QmpFailure) this.#answerFailure(session, id, outcome);
      else this.#answer(session, id, outcome);
      if (command === 'quit') this.#options.exit();
      this.#next(session);
    };
    const fault = this.#options.faults.draw('reply', {
      vm: this.#machine.label,
      command,
      device: deviceIn(args),
    });
    if (fault) this.#answerBadly(session, request, fault, answer);
    else answer();
  }

  #answerBadly(
    session: Session,
    request: Request,
    fault: Fault<'reply'>,
    answer: () => void,
  ): void {
    const { clock } = this.#machine;
    const { connection } = session;
    switch (fault.name) {
      case 'disconnect-after-run':
        connection.cut(new Error('connection reset'));
        return;
      case 'vm-killed-after-run':
        this.#options.kill();
        return;
      case 'truncated-reply':
        connection.write('{"return": {"a');
        connection.finish();
        return;
      case 'disconnect-after-reply':
        answer();
        connection.finish();
        return;
      case 'late-reply':
        clock.after(fault.delayMs, answer);
        return;
      case 'event-before-reply':
        clock.after(OVERTAKE_MS, answer);
        return;
      case 'unknown-reply':
        this.#write(session, { return: {}, id: 'nobody-asked' });
        answer();
        return;
      case 'foreign-event': {
        const device = deviceIn(request.args);
        if (device !== undefined) {
          const data = { device, path: `/machine/peripheral/${device}` };
          this.#write(session, this.#eventMessage('DEVICE_DELETED', data));
        }
        answer();
        return;
      }
    }
  }

  #answer(session: Session, id: JsonValue | undefined, value: JsonValue): void {
    this.#write(session, { return: value, ...(id === undefined ? {} : { id }) });
  }

  /** The id comes first here, and last in a success: member order means nothing. */
  #answerFailure(session: Session, id: JsonValue | undefined, failure: QmpFailure): void {
    const error = { class: failure.errorClass, desc: failure.message };
    this.#write(session, { ...(id === undefined ? {} : { id }), error });
  }

  #sendEvent(event: string, data: JsonObject | undefined): void {
    const session = this.#session;
    if (!session?.negotiated) return;
    const device = typeof data?.device === 'string' ? data.device : undefined;
    const message = this.#eventMessage(event, data);
    const fault = this.#options.faults.draw('event', { vm: this.#machine.label, event, device });
    if (fault?.name === 'drop-event') return;
    if (fault?.name === 'delay-event') {
      this.#machine.clock.after(fault.delayMs, () => {
        this.#write(session, message);
      });
      return;
    }
    this.#write(session, message);
    if (fault?.name === 'duplicate-event') this.#write(session, message);
  }

  #eventMessage(event: string, data: JsonObject | undefined): JsonObject {
    const nowMs = this.#machine.clock.now();
    const seconds = Math.floor(nowMs / 1000);
    return {
      timestamp: {
        seconds: EPOCH_SECONDS + seconds,
        microseconds: Math.round((nowMs - seconds * 1000) * 1000) % 1_000_000,
      },
      event,
      ...(data === undefined ? {} : { data }),
    };
  }

  /** Output is ASCII whatever it holds, and ends with CR LF. */
  #write({ connection }: Session, message: JsonObject): void {
    connection.write(`${toAscii(stringifyJson(message))}\r\n`);
  }
}

function deviceIn(args: JsonObject): string | undefined {
  return typeof args.id === 'string' ? args.id : undefined;
}

function toAscii(text: string): string {
  return text.replace(
    /[^\u0020-\u007e]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
