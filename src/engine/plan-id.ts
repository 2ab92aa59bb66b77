import { randomBytes } from 'node:crypto';

let lastMs = 0;

/**
 * A new plan's id: sorts by time of making, also among plans of one millisecond, and never repeats on a host.
 * Twelve hex digits of milliseconds since the epoch, eight of chance.
 */
export function newPlanId(): string {
  lastMs = Math.max(Date.now(), lastMs + 1);
  const time = lastMs.toString(16).padStart(12, '0');
  return `${time}-${randomBytes(4).toString('hex')}`;
}
