import { randomBytes } from 'node:crypto';

/**
 * A new plan's id: sorts by time of making and never repeats on a host. Twelve hex digits of milliseconds since
 * the epoch, eight of chance.
 */
export function newPlanId(): string {
  const time = Date.now().toString(16).padStart(12, '0');
  return `${time}-${randomBytes(4).toString('hex')}`;
}
