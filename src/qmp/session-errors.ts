import { ConnectError, DisconnectedError, QmpError, type ProtocolError } from '../errors.js';

/** The peer closed before it said anything. */
export function noGreeting(address: string, cause: Error | undefined): ConnectError {
  return new ConnectError('NO_GREETING', `${address}: closed before the greeting`, {
    cause,
    remedy: 'check that the address is a QMP monitor and that the VM runs',
    details: { address },
  });
}

/** What the peer said first was not QMP. */
export function badGreeting(address: string, cause: ProtocolError): ConnectError {
  return new ConnectError('BAD_GREETING', `${address}: the greeting is not QMP`, {
    cause,
    remedy: 'check that the address is a QMP monitor (QEMU: -qmp), not HMP or a serial port',
    details: { address },
  });
}

/**
 * Connected, and nothing came. A second client of a QEMU socket is connected by the kernel and
 * hears nothing until the first has gone; behind a command there may be anything.
 */
export function silentPeer(address: string, deadlineMs: number): ConnectError {
  const details = { address, deadlineMs };
  if (/^(?:unix|tcp):/.test(address)) {
    return new ConnectError(
      'MONITOR_BUSY',
      `${address}: connected, but no greeting within ${deadlineMs} ms: ` +
        'another client holds the monitor, or QEMU is busy',
      {
        remedy: 'end the other client (ss -xp shows it), or give QEMU one more -qmp socket',
        details,
      },
    );
  }
  return new ConnectError('NO_GREETING', `${address}: no greeting within ${deadlineMs} ms`, {
    remedy: /^wss?:/.test(address)
      ? 'see that the bridge reaches the monitor, and that no other client holds that'
      : 'run the command by hand: it should print a line that starts with {"QMP":',
    details,
  });
}

export function negotiationFailed(address: string, cause: unknown): ConnectError {
  return new ConnectError('NEGOTIATION_FAILED', `${address}: the negotiation failed`, {
    cause,
    remedy: /^wss?:/.test(address)
      ? "QEMU's own WebSocket monitor leaves commands lying: put a bridge before a unix socket"
      : 'see the cause; a QEMU that has just started or is ending may need another try',
    details: { address },
  });
}

export function openingAborted(address: string, signal: AbortSignal | undefined): QmpError {
  return new QmpError('ABORTED', `${address}: opening the session was given up`, {
    cause: signal?.reason,
    details: { address, sent: false },
  });
}

export function monitorGone(address: string, cause: Error | undefined): DisconnectedError {
  return new DisconnectedError('DISCONNECTED', `${address}: the monitor has gone`, {
    cause,
    details: { address },
  });
}

/** A command was called while there was no session to send it on. */
export function notReady(command: string, state: string, cause: Error | undefined): QmpError {
  return new QmpError('NOT_CONNECTED', `${command} was not sent: the session is ${state}`, {
    cause,
    details: { command, sent: false },
  });
}
