import { InputError } from '../errors.js';
import { isMdevUuid } from '../host/mdev-name.js';
import type { HotplugPlan } from '../plan/steps.js';

/**
 * What steps need and no plan holds: a plan is shown, journaled, and read by other processes. By the id of the device
 * in the VM. A process that goes on with a plan of another has none; it takes back what was not finished.
 */
export type StepSecrets = Map<string, string>;

/**
 * The token of a VF out of untyped input; the message never tells what was given.
 *
 * @throws {InputError} `BAD_ARGUMENT`
 */
export function readVfToken(token: string | undefined): string | undefined {
  if (token === undefined) return undefined;
  if (typeof token === 'string' && isMdevUuid(token)) return token.toLowerCase();
  throw new InputError('BAD_ARGUMENT', 'The token of a virtual function is a UUID', {
    remedy: 'give the UUID that whoever has the physical function has set',
  });
}

/** Keeps the token for the steps of a plan that ask for it; the returned function forgets it. */
export function lendToken(
  secrets: StepSecrets,
  { steps }: HotplugPlan,
  vfToken: string | undefined,
): () => void {
  const ids = steps.flatMap((step) =>
    step.kind === 'AddDevice' && step.withVfToken === true ? [step.id] : [],
  );
  if (vfToken !== undefined) for (const id of ids) secrets.set(id, vfToken);
  return () => {
    for (const id of ids) secrets.delete(id);
  };
}
