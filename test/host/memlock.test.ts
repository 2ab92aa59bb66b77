import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HostIoError, type HostEffects, type MemlockLimit } from '../../src/host/effects.js';
import {
  neededMemlock,
  planMemlock,
  raiseMemlock,
  restoreMemlock,
  type MemlockRecord,
} from '../../src/host/memlock.js';
import { formatMemlock, parseMemlock } from '../../src/host/memlock-text.js';
import { HostTree } from './sysfs-tree.js';

const GIB = 1n << 30n;
const STATUS = 'Uid:\t1\t1\t1\t1\nGid:\t1\t1\t1\t1\nGroups:\t\nCapEff:\t0000000000000000\n';

function limited(tree: HostTree, limit: MemlockLimit, status = STATUS) {
  tree.addProcess(812, { command: 'qemu', status });
  const state = { limit };
  const effects: HostEffects = Object.create(tree.effects) as HostEffects;
  effects.readMemlock = async () => state.limit;
  effects.setMemlock = async (_pid, wanted) => {
    state.limit = wanted;
  };
  return { effects, state };
}

describe('neededMemlock', () => {
  it('is the RAM and 1 GiB, and the RAM once per device behind a virtual IOMMU', () => {
    expect(neededMemlock({ ramBytes: 64n * GIB, vfioDeviceCount: 3 })).toBe(65n * GIB);
    const behindIommu = { ramBytes: 64n * GIB, hasVirtualIommu: true };
    expect(neededMemlock({ ...behindIommu, vfioDeviceCount: 3 })).toBe(193n * GIB);
    expect(neededMemlock({ ...behindIommu, vfioDeviceCount: 0 })).toBe(65n * GIB);
  });
});

describe('raising and restoring', () => {
  it('are inverse, over JSON', async () => {
    const limit = fc.record({
      soft: fc.option(fc.bigInt(0n, 200n * GIB), { nil: undefined }),
      hard: fc.option(fc.bigInt(0n, 200n * GIB), { nil: undefined }),
    });
    using tree = new HostTree();
    await fc.assert(
      fc.asyncProperty(limit, fc.bigInt(1n, 200n * GIB), async (before, needed) => {
        const { effects, state } = limited(tree, before);
        const planned = await planMemlock(effects, 812, needed);
        expect(state.limit).toEqual(before);
        if (planned === undefined) return;
        const record = JSON.parse(JSON.stringify(planned)) as MemlockRecord;
        await raiseMemlock(effects, record);
        await raiseMemlock(effects, record);
        for (const side of [state.limit.soft, state.limit.hard]) {
          expect(side === undefined || side >= needed).toBe(true);
        }
        expect(await restoreMemlock(effects, record)).toBe('restored');
        expect(state.limit).toEqual(before);
        expect(await restoreMemlock(effects, record)).toBe('already');
      }),
      { numRuns: 40 },
    );
  });

  it('have nothing to do where the limit or CAP_IPC_LOCK allows it', async () => {
    using tree = new HostTree();
    const enough = limited(tree, { soft: 65n * GIB, hard: undefined });
    expect(await planMemlock(enough.effects, 812, 65n * GIB)).toBeUndefined();
    const capable = STATUS.replace('0000000000000000', '0000000000004000');
    const { effects } = limited(tree, { soft: 0n, hard: 0n }, capable);
    expect(await planMemlock(effects, 812, 65n * GIB)).toBeUndefined();
  });

  it('leave a limit that someone else has set since, and a process that has ended', async () => {
    using tree = new HostTree();
    const { effects, state } = limited(tree, { soft: 1n, hard: 1n });
    const record = await planMemlock(effects, 812, GIB);
    if (record === undefined) throw new Error('nothing planned');
    await raiseMemlock(effects, record);
    state.limit = { soft: 7n, hard: 7n };
    expect(await restoreMemlock(effects, record)).toBe('changed');
    const successor = { ...record, process: { ...record.process, startTime: '1' } };
    expect(await restoreMemlock(effects, successor)).toBe('gone');
    expect(state.limit).toEqual({ soft: 7n, hard: 7n });
  });

  it('refuse with the command to run where it is not permitted or has no effect', async () => {
    using tree = new HostTree();
    const { effects } = limited(tree, { soft: 1n, hard: 1n });
    const record = await planMemlock(effects, 812, GIB);
    if (record === undefined) throw new Error('nothing planned');
    const refusal = {
      code: 'MEMLOCK',
      remedy: expect.stringContaining(
        'prlimit --pid 812 --memlock=1073741824:1073741824',
      ) as string,
    };
    effects.setMemlock = async () => undefined;
    await expect(raiseMemlock(effects, record)).rejects.toMatchObject(refusal);
    effects.setMemlock = async () => {
      throw new HostIoError('EIO', 'run', 'prlimit');
    };
    await expect(raiseMemlock(effects, record)).rejects.toMatchObject(refusal);
    await expect(planMemlock(effects, 99, GIB)).rejects.toMatchObject({ code: 'VM_GONE' });
  });
});

describe('parseMemlock', () => {
  const limits = (soft: string, hard: string) =>
    `Limit                     Soft Limit           Hard Limit           Units     \nMax locked memory         ${soft}              ${hard}              bytes     \n`;

  it('reads both limits, unlimited ones too', () => {
    expect(parseMemlock(limits('8388608', 'unlimited'))).toEqual({
      soft: 8388608n,
      hard: undefined,
    });
    expect(parseMemlock('')).toBeUndefined();
    expect(formatMemlock({ soft: 8388608n, hard: undefined })).toBe('8388608:unlimited');
  });
});
