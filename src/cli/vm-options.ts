import type { Command } from 'commander';
import { ConnectError, openVm, type Vm, type WaitOptions } from '../index.js';
import type { CommandContext } from './command-context.js';
import { once, pid, seconds } from './option-values.js';

/** Options of every command that talks to a VM. */
export interface VmOptions {
  readonly qemuPid?: number;
  /** Milliseconds. */
  readonly timeout?: number;
}

/** Every command has it. */
export function addJsonOption(command: Command): Command {
  return command.option('--json', 'print exactly one JSON document');
}

export function addVmOptions(command: Command): Command {
  return addJsonOption(
    command
      .option(
        '--timeout <s>',
        'seconds to wait for lock, monitor and guest (default: 15)',
        once('--timeout', seconds),
      )
      .option(
        '--qemu-pid <pid>',
        'the QEMU process, where the address does not lead to it',
        once('--qemu-pid', pid),
      ),
  );
}

const DEFAULT_TIMEOUT_MS = 15_000;
/** A monitor that is free answers at once, also to someone who waits for nothing else. */
const LEAST_CONNECT_MS = 1_000;

/**
 * Opens the VM, does the work and closes. A `--timeout` covers the waiting for the monitor too; without one a
 * silent monitor counts as busy after the library's own five seconds.
 */
export async function withVm<T>(
  address: string,
  { qemuPid, timeout }: VmOptions,
  { environment, signal }: CommandContext,
  work: (vm: Vm, waiting: WaitOptions) => Promise<T>,
): Promise<T> {
  const { clock } = environment;
  const startedAt = clock.now();
  await using vm = await openVm(address, {
    environment,
    qemuPid,
    connectTimeoutMs: timeout === undefined ? undefined : Math.max(timeout, LEAST_CONNECT_MS),
    signal,
  }).catch(pointToRecovery);
  const spentMs = clock.now() - startedAt;
  const timeoutMs = Math.max(0, (timeout ?? DEFAULT_TIMEOUT_MS) - spentMs);
  return await work(vm, { timeoutMs, signal });
}

/** Nobody answers: whoever knows that the VM has ended wants the host's devices back. */
function pointToRecovery(error: unknown): never {
  if (!(error instanceof ConnectError) || error.code !== 'CONNECT_FAILED') throw error;
  const { code, message, cause, remedy, details } = error;
  const recovery = 'if the VM has ended, give back what it held: qmplug recover';
  throw new ConnectError(code, message, {
    cause,
    remedy: remedy === undefined ? recovery : `${remedy}; ${recovery}`,
    details,
  });
}
