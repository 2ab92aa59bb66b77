import { describe, expect, it } from 'vitest';
import { PausableClock } from '../../src/simulator/qemu/pausable-clock.js';
import { VirtualClock } from '../../src/simulator/index.js';

describe('VirtualClock', () => {
  it('fires timers in order of time, then of creation', async () => {
    const clock = new VirtualClock();
    const seen: string[] = [];
    clock.after(20, () => seen.push(`late at ${clock.now()}`));
    clock.after(10, () => seen.push(`first at ${clock.now()}`));
    clock.after(10, () => seen.push(`second at ${clock.now()}`));
    await clock.advance(30);
    expect(seen).toEqual(['first at 10', 'second at 10', 'late at 20']);
    expect(clock.now()).toBe(30);
  });

  it('stands still by itself', async () => {
    const clock = new VirtualClock();
    let fired = false;
    clock.after(1, () => (fired = true));
    await clock.settle();
    expect([fired, clock.now(), clock.pendingCount]).toEqual([false, 0, 1]);
  });

  it('forgets a cancelled timer', async () => {
    const clock = new VirtualClock();
    let fired = false;
    const cancel = clock.after(5, () => (fired = true));
    cancel();
    await clock.advance(10);
    expect(fired).toBe(false);
  });

  it('jumps over six seconds of waiting at once', async () => {
    const clock = new VirtualClock();
    const startedMs = performance.now();
    await clock.runUntil(clock.delay(6_000));
    expect(clock.now()).toBe(6_000);
    expect(performance.now() - startedMs).toBeLessThan(1_000);
  });

  it('lets promise chains run between two timers', async () => {
    const clock = new VirtualClock();
    const seen: string[] = [];
    const chain = async () => {
      await clock.delay(10);
      await Promise.resolve();
      seen.push('chain');
    };
    const work = chain();
    clock.after(10, () => seen.push('timer'));
    clock.after(11, () => seen.push('next timer'));
    await clock.runUntil(work);
    await clock.advance(5);
    expect(seen).toEqual(['chain', 'timer', 'next timer']);
  });

  it('says so when nothing is left that could end a wait', async () => {
    const clock = new VirtualClock();
    await expect(clock.runUntil(new Promise(() => undefined))).rejects.toThrow(/Nothing is left/);
  });

  it('stops waiting at its limit', async () => {
    const clock = new VirtualClock();
    await expect(clock.runUntil(clock.delay(100), 50)).rejects.toThrow(/Still waiting after 50 ms/);
  });

  it('holds time still while something real is under way', async () => {
    const clock = new VirtualClock();
    let fired = false;
    clock.after(1, () => (fired = true));
    const real = new Promise<boolean>((resolve) => {
      setTimeout(() => {
        resolve(fired);
      }, 5);
    });
    const firedBefore = clock.whileOutside(real);
    await clock.advance(1);
    expect(await firedBefore).toBe(false);
    expect(fired).toBe(true);
  });

  it('runs on its own in automatic mode until it is stopped', async () => {
    const clock = new VirtualClock();
    const stop = clock.automatic();
    await clock.delay(1_000);
    await clock.delay(1_000);
    expect(clock.now()).toBe(2_000);
    stop();
    clock.after(1, () => undefined);
    await clock.settle();
    expect(clock.pendingCount).toBe(1);
  });
});

describe('PausableClock', () => {
  it('keeps what is left of a timer while it is paused', async () => {
    const clock = new VirtualClock();
    const guest = new PausableClock(clock, true);
    let firedAtMs: number | undefined;
    guest.after(100, () => (firedAtMs = clock.now()));
    await clock.advance(40);
    guest.pause();
    await clock.advance(1_000);
    expect([guest.now(), firedAtMs]).toEqual([40, undefined]);
    guest.resume();
    await clock.advance(60);
    expect([guest.now(), firedAtMs]).toEqual([100, 1_100]);
  });
});
