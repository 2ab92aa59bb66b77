import { QmplugError } from '../errors.js';
import { known, unknown, type Known } from '../known.js';
import { excerpt } from '../text.js';
import { HostIoError, type HostEffects } from './effects.js';

/** A record of the kernel's log. */
export interface KernelMessage {
  /** Microseconds since boot. */
  readonly atUs: bigint;
  readonly text: string;
  /** The device that it is about, as `KEY=value` lines below it tell: `+pci:0000:3b:00.0`. */
  readonly device: string | undefined;
}

export const KERNEL_LOG = '/dev/kmsg';
const READ_DEADLINE_MS = 2_000;
const MOST_LINES = 5;
const LINE_LENGTH = 200;

/**
 * The records of /dev/kmsg: `<level>,<number>,<microseconds>,<flags>;<text>`, and below each what else is known of it,
 * indented by a blank. What has another shape is passed over.
 * Source: Linux Documentation/ABI/testing/dev-kmsg (6.12).
 */
export function parseKernelLog(text: string): readonly KernelMessage[] {
  const messages: KernelMessage[] = [];
  for (const line of text.split('\n')) {
    const device = /^ DEVICE=(.+)$/.exec(line)?.[1];
    const last = messages.at(-1);
    if (device !== undefined && last !== undefined) {
      messages[messages.length - 1] = { ...last, device };
      continue;
    }
    const [, us, said] = /^\d+,\d+,(\d{1,18}),[^;]*;(.*)$/.exec(line) ?? [];
    if (us === undefined || said === undefined) continue;
    messages.push({ atUs: BigInt(us), text: said, device: undefined });
  }
  return messages;
}

/**
 * What the kernel said last of a device, a module or a process: a handful of lines as dmesg prints them, the oldest
 * first, safe to print. Never waits for long and never throws what the host did.
 *
 * @param subject its name: an address, a UUID, `vfio_pci`.
 */
export async function lastKernelMessages(
  effects: Pick<HostEffects, 'read'>,
  subject: string,
): Promise<Known<readonly string[]>> {
  try {
    const text = await effects.read(KERNEL_LOG, { deadlineMs: READ_DEADLINE_MS });
    const names = namesOf(subject);
    const about = parseKernelLog(text).filter(
      (message) => names.test(message.text) || names.test(message.device ?? ''),
    );
    return known(about.slice(-MOST_LINES).map(formatMessage));
  } catch (error) {
    if (!(error instanceof QmplugError)) throw error;
    return unknown(error.message);
  }
}

/** The same failure with what the kernel said last of what it is about. */
export async function withKernelLog(
  effects: Pick<HostEffects, 'read'>,
  error: HostIoError,
  subject: string,
): Promise<HostIoError> {
  const { errno, operation, path, cause, stuck, childPid } = error;
  const kernelLog = await lastKernelMessages(effects, subject);
  return new HostIoError(errno, operation, path, { cause, stuck, childPid, kernelLog });
}

/** The name by itself: `0000:3b:00.0` is not `10000:3b:00.0`, nor `vfio_pci` `vfio_pci_core`. */
function namesOf(subject: string): RegExp {
  const name = subject.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`(?<![\\w-])${name}(?![\\w-])`, 'i');
}

/** As dmesg does: `[   12.345678] text`. */
function formatMessage({ atUs, text }: KernelMessage): string {
  const seconds = String(atUs / 1_000_000n).padStart(5);
  const fraction = String(atUs % 1_000_000n).padStart(6, '0');
  return `[${seconds}.${fraction}] ${excerpt(text, LINE_LENGTH)}`;
}
