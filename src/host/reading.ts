import { HostError } from '../errors.js';
import { HostIoError, kernelDetails, type HostEffects } from './effects.js';

/** What the kernel answers for a thing that is not, or no longer, there. */
const MISSING = ['ENOENT', 'ENODEV', 'ENXIO', 'ESRCH', 'ENOTDIR'];

/** Whether the failure says that the thing does not exist, as opposed to "could not be read". */
export function isMissing(error: unknown): boolean {
  return error instanceof HostIoError && MISSING.includes(error.errno);
}

/** Whether the failure says that we may not look: it stays so, unlike one that may pass. */
export function isDenied(error: unknown): boolean {
  return error instanceof HostIoError && (error.errno === 'EACCES' || error.errno === 'EPERM');
}

/** `undefined` where the thing does not exist; any other failure is passed on. */
export async function ifPresent<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Text of an attribute without its final newline; `undefined` where it does not exist. */
export async function readAttribute(
  effects: HostEffects,
  path: string,
): Promise<string | undefined> {
  const text = await ifPresent(effects.read(path));
  return text === undefined ? undefined : text.replace(/\n$/, '');
}

/** Last component of a link's target: how sysfs names a driver, a group, a module. */
export async function readLinkName(
  effects: HostEffects,
  path: string,
): Promise<string | undefined> {
  const target = await ifPresent(effects.readlink(path));
  return target?.slice(target.lastIndexOf('/') + 1);
}

/** Names in a directory; none where it does not exist. */
export async function listOrNone(effects: HostEffects, path: string): Promise<readonly string[]> {
  return (await ifPresent(effects.list(path))) ?? [];
}

/** Whether a path exists; a link counts whatever it points to. */
export async function exists(effects: HostEffects, path: string): Promise<boolean> {
  return (await ifPresent(effects.stat(path))) !== undefined;
}

/** Whether the operation never came back and may still be under way. */
export function isStuck(error: unknown): boolean {
  return error instanceof HostIoError && error.stuck;
}

/** Completes "unknown because ...". Anything but a failed effect is no reason and is thrown on. */
export function reasonOf(error: unknown): string {
  if (error instanceof HostIoError) return error.message;
  throw error;
}

/**
 * The typed error for a failed effect: `STUCK` where it may still be under way, `HOST_IO` for a write,
 * `HOST_UNREADABLE` for a read. `subject` is the device or node by name. Anything but a failed
 * effect is passed through as it is.
 */
export function hostFailure(
  subject: string,
  error: unknown,
  code: 'HOST_IO' | 'HOST_UNREADABLE' = 'HOST_IO',
): Error {
  if (!(error instanceof HostIoError)) {
    return error instanceof Error ? error : new Error(String(error));
  }
  const { errno, path, stuck, childPid, kernelLog } = error;
  const child = childPid === undefined ? {} : { childPid };
  const details = { subject, path, errno, ...child, ...kernelDetails(kernelLog) };
  if (stuck) {
    const who = childPid === undefined ? '' : `; process ${childPid} is still at it`;
    const said = kernelSaid(kernelLog);
    return new HostError('STUCK', `${subject}: the kernel did not answer on ${path}${who}${said}`, {
      cause: error,
      details,
      remedy: `see what holds it: dmesg | tail; do not touch ${subject} until it comes back`,
    });
  }
  const look =
    code === 'HOST_IO'
      ? 'the kernel may tell more: dmesg | tail'
      : `see what is there: ls -l ${path}`;
  const remedy = errno === 'EACCES' || errno === 'EPERM' ? 'run as root' : look;
  return new HostError(code, `${subject}: ${path} answered ${errno}`, {
    cause: error,
    details,
    remedy,
  });
}

function kernelSaid(log: HostIoError['kernelLog']): string {
  if (log === undefined) return '';
  if (!log.known) return `; what the kernel says of it cannot be read: ${log.reason}`;
  if (log.value.length === 0) return '; the kernel log does not name it';
  return `; the kernel last said: ${log.value.join(' / ')}`;
}

/** Runs `work` on every item, `width` at a time, and keeps the order: open files are bounded. */
export async function mapBounded<T, R>(
  items: readonly T[],
  width: number,
  work: (item: T) => Promise<R>,
): Promise<readonly R[]> {
  const results: R[] = [];
  for (let start = 0; start < items.length; start += width) {
    results.push(...(await Promise.all(items.slice(start, start + width).map(work))));
  }
  return results;
}
