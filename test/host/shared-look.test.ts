import { describe, expect, it } from 'vitest';
import type { HostEffects } from '../../src/host/effects.js';
import { sharedLook } from '../../src/host/shared-look.js';

/** Looks that end when the test says so; each answers with its number. */
function heldLooks() {
  const held: PromiseWithResolvers<number>[] = [];
  const look = sharedLook(() => {
    const one = withResolvers<number>();
    held.push(one);
    return one.promise;
  });
  return { held, look };
}

interface PromiseWithResolvers<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: Error) => void;
}

function withResolvers<T>(): PromiseWithResolvers<T> {
  let resolve: (value: T) => void = () => undefined;
  let reject: (error: Error) => void = () => undefined;
  const promise = new Promise<T>((...both) => {
    [resolve, reject] = both;
  });
  return { promise, resolve, reject };
}

const host = () => ({}) as HostEffects;

describe('a shared look', () => {
  it('answers nobody with a look that began before he asked', async () => {
    const { held, look } = heldLooks();
    const effects = host();
    const first = look(effects);
    const others = [look(effects), look(effects), look(effects)];
    expect(held).toHaveLength(1);
    held[0]?.resolve(1);
    expect(await first).toBe(1);
    expect(held).toHaveLength(2);
    const late = look(effects);
    held[1]?.resolve(2);
    expect(await Promise.all(others)).toEqual([2, 2, 2]);
    expect(held).toHaveLength(3);
    held[2]?.resolve(3);
    expect(await late).toBe(3);
  });

  it('begins at once where nobody looks, also after one has failed', async () => {
    const { held, look } = heldLooks();
    const effects = host();
    const first = look(effects);
    const second = look(effects);
    held[0]?.reject(new Error('held up'));
    await expect(first).rejects.toThrow('held up');
    held[1]?.resolve(2);
    expect(await second).toBe(2);
    const third = look(effects);
    expect(held).toHaveLength(3);
    held[2]?.resolve(3);
    expect(await third).toBe(3);
  });

  it('is shared by those who look at the same host alone', () => {
    const { held, look } = heldLooks();
    void look(host());
    void look(host());
    expect(held).toHaveLength(2);
  });
});
