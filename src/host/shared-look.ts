import type { HostEffects } from './effects.js';

interface Looks<T> {
  /** Under way; whoever asks now may have caused what it has passed by already. */
  current: Promise<T>;
  /** Begins after it, for all who ask until then. */
  next: Promise<T> | undefined;
}

/**
 * Lets all who ask at the same time share one look at the host: each is answered by a look that began after
 * it asked. A controller of a thousand VMs that opens them all at once looks twice, not a thousand times.
 */
export function sharedLook<T>(
  look: (effects: HostEffects) => Promise<T>,
): (effects: HostEffects) => Promise<T> {
  const looks = new WeakMap<HostEffects, Looks<T>>();
  const begin = (effects: HostEffects): Promise<T> => {
    const mine: Looks<T> = { current: look(effects), next: undefined };
    looks.set(effects, mine);
    const end = () => {
      if (looks.get(effects) === mine && mine.next === undefined) looks.delete(effects);
    };
    mine.current.then(end, end);
    return mine.current;
  };
  return (effects) => {
    const under = looks.get(effects);
    if (under === undefined) return begin(effects);
    const again = () => begin(effects);
    under.next ??= under.current.then(again, again);
    return under.next;
  };
}
