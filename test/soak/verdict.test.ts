import { describe, expect, it } from 'vitest';
import { compareTraces, memoryGrowth } from '../../scripts/soak/verdict.mjs';

const MIB = 2 ** 20;

/** A hundred samples of a run, with this much of our heap in use at each cycle. */
function run(cycles: number, heapAt: (cycle: number) => number) {
  const samples = Array.from({ length: 100 }, (_, index) => {
    const cycle = ((index + 1) * cycles) / 100;
    return { cycle, heap: heapAt(cycle), rss: 80 * MIB, qemuRss: 16 * MIB };
  });
  return memoryGrowth(samples).find(({ kind }) => kind === 'heap');
}

describe('the verdict of a soak', () => {
  it('calls memory flat that settles after the warm-up, whatever it needed till then', () => {
    const settling = (cycle: number) => 12 * MIB + Math.min(cycle, 200) * 20_000;
    expect(run(1_000, settling)).toMatchObject({ flat: true });
  });

  it('lets memory swing', () => {
    const swinging = (cycle: number) => 12 * MIB + (cycle % 300) * 1_000;
    expect(run(10_000, swinging)).toMatchObject({ flat: true });
  });

  it.each([
    [10_000, 128],
    [1_000, 1_024],
  ])('sees in %i cycles what %i bytes a cycle add up to', (cycles, bytes) => {
    expect(run(cycles, (cycle) => 12 * MIB + cycle * bytes)).toMatchObject({ flat: false });
  });

  it.each([
    [200_000, true],
    [1_000_000, false],
  ])('takes %i bytes in each of five cycles for code that is still compiled: %s', (bytes, flat) => {
    expect(run(5, (cycle) => 12 * MIB + cycle * bytes)).toMatchObject({ flat });
  });

  it('counts what there are several of', () => {
    const before = ['file: a', 'socket', 'socket'];
    expect(compareTraces(before, ['file: a', 'socket', 'socket'])).toEqual({
      stayed: [],
      missing: [],
    });
    expect(compareTraces(before, ['socket', 'socket', 'socket'])).toEqual({
      stayed: ['socket'],
      missing: ['file: a'],
    });
  });
});
