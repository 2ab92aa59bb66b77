import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createFileStore } from '../../../src/engine/file-store.js';
import { Reservations } from '../../../src/engine/reservations.js';
import type { HostEffects } from '../../../src/host/effects.js';
import { HostIoError } from '../../../src/host/effects.js';
import { compileMatcher } from '../../../src/host/selector/match.js';
import { parseRequest, parseSelector } from '../../../src/host/selector/parse-selector.js';
import type { RequestOptions } from '../../../src/host/selector/parse-structured.js';
import { readCandidates } from '../../../src/host/selector/read-candidates.js';
import {
  resolveSelector,
  type ResolveOptions,
} from '../../../src/host/selector/resolve-selector.js';
import { choose } from '../../../src/host/selector/resolve.js';
import type { HostTree } from '../sysfs-tree.js';
import { anyExpression } from './any-expression.js';
import { gpuHost, MDEV } from './gpu-host.js';

let tree: HostTree;
beforeAll(() => {
  tree = gpuHost();
});
afterAll(() => tree[Symbol.dispose]());

const GPUS = ['0000:01:00.0', '0000:81:00.0'];
type Options = RequestOptions & { readonly orElse?: readonly string[] };

async function resolve(
  text: string,
  options: Options = {},
  more: ResolveOptions = {},
  vmNodes?: number[],
) {
  const request = parseRequest(text, options);
  return resolveSelector({ effects: tree.effects, vmNodes }, request, more);
}

const names = async (...args: Parameters<typeof resolve>) =>
  (await resolve(...args)).chosen.map(({ name }) => name);
const all = { policy: 'all' };

it.each([
  ['id:10de:2204', GPUS],
  ['class:gpu vendor:10de', GPUS],
  ['class:audio', ['0000:01:00.1', '0000:81:00.1']],
  ['class:nvswitch', ['0000:41:00.0']],
  ['class:nvme', ['10000:e1:00.0']],
  ['domain:10000', ['10000:e1:00.0']],
  ['0000:[08]1:00.*', ['0000:01:00.0', '0000:01:00.1', '0000:81:00.0', '0000:81:00.1']],
  ['bus:40-90 fn:0', ['0000:41:00.0', '0000:81:00.0']],
  ['numa:1 class:gpu', ['0000:81:00.0']],
  ['numa>=1 class:gpu', ['0000:81:00.0']],
  ['bar>=16G', GPUS],
  ['bar1=16G bar0<1', []],
  ['slot:3', ['0000:01:00.0', '0000:01:00.1']],
  ['vf', ['0000:05:10.0', '0000:05:10.1']],
  ['vf vf-index:1', ['0000:05:10.1']],
  ['pf vfs>1', ['0000:05:00.0']],
  ['pf-of:0000:05:00.0 driver:none', ['0000:05:10.1']],
  ['pf-of:(driver:igb) bound', ['0000:05:10.0']],
  ['serial:s4ev-77', ['10000:e1:00.0']],
  ['serial:00:1B:21:3c:5d:9e', ['0000:05:00.0']],
  ['serial:9e:00:00:00:00:01', []],
  ['name:eth?', ['0000:05:00.0', '0000:05:10.1']],
  ['root:pci10000:e0', ['10000:e1:00.0']],
  ['parent:0000:00:01.1 fn:0', ['0000:01:00.0']],
  ['path:pci-0000:00:01.1/00.0', ['0000:01:00.0']],
  ['group:3,4 class:gpu', GPUS],
  ['group-size=2 class:gpu', GPUS],
  ['reset:flr', GPUS],
  ['link-speed>=16 link-width=16', GPUS],
  ['mdev', [MDEV]],
  ['mdev-type:i915-*', ['0000:06:00.0', MDEV]],
  ['available>0 kind:pci', ['0000:06:00.0']],
  ['available.i915-GVTg_V5_4=1 kind:pci', ['0000:06:00.0']],
  ['attr.max_link_width=16', GPUS],
  ['attr.max_link_speed:"16.0 GT/s *"', GPUS],
  ['attr.vendor:0x10de class:gpu', GPUS],
  [`/sys/bus/mdev/devices/${MDEV}`, [MDEV]],
  ['-d 10de:2204', GPUS],
  ['-s 81:', ['0000:81:00.0', '0000:81:00.1']],
  ['driver:igb,nvme', ['0000:05:00.0', '10000:e1:00.0']],
  ['(class:nvme | vf) !numa:-1', ['10000:e1:00.0']],
  ['has:slot fn:0', GPUS],
])('%s means %j', async (text, expected) => {
  const found = resolve(text, all, { guarded: false });
  if (expected.length > 0) expect((await found).chosen.map(({ name }) => name)).toEqual(expected);
  else await expect(found).rejects.toMatchObject({ code: 'NO_MATCH' });
});

describe('policies', () => {
  it('one is the default, and what would tell them apart is told', async () => {
    await expect(resolve('id:10de:2204')).rejects.toMatchObject({
      code: 'AMBIGUOUS',
      details: {
        matches: GPUS,
        separatedBy: expect.arrayContaining([{ field: 'numa', values: ['0', '1'] }]) as unknown,
      },
    });
    expect(await names('id:10de:2204 numa:1')).toEqual(['0000:81:00.0']);
  });

  it('counts', async () => {
    expect(await names('class:gpu vendor:10de', { policy: 'first:1' })).toEqual(['0000:01:00.0']);
    expect(await names('class:gpu vendor:10de', { policy: 'first:1', order: ['-numa'] })).toEqual([
      '0000:81:00.0',
    ]);
    expect(await names('id:10de:2204', { policy: 'exactly:2' })).toEqual(GPUS);
    expect(await names('id:10de:2204', { policy: 'atleast:1' })).toEqual(GPUS);
    for (const policy of ['first:3', 'exactly:3', 'atleast:3']) {
      await expect(resolve('id:10de:2204', { policy })).rejects.toMatchObject({ code: 'TOO_FEW' });
    }
    await expect(resolve('id:10de:2204', { policy: 'exactly:1' })).rejects.toMatchObject({
      code: 'AMBIGUOUS',
    });
  });

  it('takes a group or the functions of a slot along, and no bridge', async () => {
    for (const policy of ['group', 'function-set']) {
      const { chosen, companions } = await resolve('id:10de:2204 numa:0', { policy });
      expect(chosen.map(({ name }) => name)).toEqual(['0000:01:00.0']);
      expect(companions.map(({ name }) => name)).toEqual(['0000:01:00.1']);
    }
  });

  it('meets constraints, spreads and packs', async () => {
    const two = { policy: 'first:2' };
    const text = 'vendor:10de bus:01,81';
    expect(await names(text, two)).toEqual(['0000:01:00.0', '0000:01:00.1']);
    expect(await names(text, { ...two, distinct: ['numa'] })).toEqual([
      '0000:01:00.0',
      '0000:81:00.0',
    ]);
    expect(await names(text, { ...two, same: ['id'] })).toEqual(GPUS);
    expect(
      await names(text, { ...two, same: ['class'], distinct: ['numa'], order: ['-fn'] }),
    ).toEqual(['0000:01:00.1', '0000:81:00.1']);
    expect(await names(text, { ...two, spread: 'numa' })).toEqual(GPUS);
    expect(await names('vendor:10de !0000:01:00.1', { ...two, pack: 'numa' })).toEqual([
      '0000:81:00.0',
      '0000:81:00.1',
    ]);
    await expect(resolve(text, { policy: 'first:3', distinct: ['numa'] })).rejects.toMatchObject({
      code: 'TOO_FEW',
    });
    await expect(resolve(text, { policy: 'all', same: ['numa'] })).rejects.toMatchObject({
      code: 'TOO_FEW',
    });
  });

  it('classifies', async () => {
    const { classes } = await resolve('vendor:10de has:slot', { policy: 'group-by:numa:first:1' });
    expect([...classes].map(([value, [first]]) => [value, first?.name])).toEqual([
      ['0', '0000:01:00.0'],
      ['1', '0000:81:00.0'],
    ]);
  });

  it('tries alternatives in order, and tells of the first where none can be had', async () => {
    expect(
      await names('id:dead:beef', { orElse: ['id:10de:2204', 'id:10de:2204 numa:1'] }),
    ).toEqual(['0000:81:00.0']);
    await expect(resolve('id:dead:beef', { orElse: ['id:beef:dead'] })).rejects.toMatchObject({
      code: 'NO_MATCH',
      details: { selector: 'id:dead:beef' },
    });
  });

  it('keeps to the nodes of the VM', async () => {
    expect(await names('id:10de:2204', { numa: 'required' }, {}, [1])).toEqual(['0000:81:00.0']);
    expect(await names('id:10de:2204 numa:near', {}, {}, [0])).toEqual(['0000:01:00.0']);
    await expect(resolve('class:nvme', { numa: 'required' }, {}, [1])).rejects.toMatchObject({
      code: 'NO_MATCH',
    });
    expect(await names('0000:41:00.0', { numa: 'legacy' }, {}, [1])).toEqual(['0000:41:00.0']);
  });

  it('refuses what means everything, unless it is asked for twice', async () => {
    for (const text of ['*', 'bdf:**', 'id:*:*', 'has:bdf', 'driver:/.*/', 'numa:0 | *']) {
      await expect(resolve(text, all)).rejects.toMatchObject({
        code: 'DENIED',
        details: { rule: 'yes-all' },
      });
      await expect(resolve(text, {}, { yesAll: true })).rejects.toMatchObject({ code: 'DENIED' });
    }
    const { chosen, rejected } = await resolve('*', all, { yesAll: true });
    expect(chosen.length).toBeGreaterThan(5);
    expect(rejected).toContainEqual(
      expect.objectContaining({ bdf: '0000:00:1f.0', reason: 'denied', rule: 'deny.isa-bridge' }),
    );
  });
});

describe('what is not chosen', () => {
  it('denies by rule, and lets pass by the name of the rule', async () => {
    await expect(resolve('0000:00:1f.0')).rejects.toMatchObject({
      code: 'DENIED',
      details: { rejected: [{ bdf: '0000:00:1f.0', rule: 'deny.isa-bridge' }] },
    });
    expect(await names('0000:00:1f.0', { allow: ['deny.isa-bridge'] })).toEqual(['0000:00:1f.0']);
  });

  it('passes over what is in use, and says so of the only one', async () => {
    tree.file('/proc/1/mountinfo', '');
    const found = resolve('driver:igb');
    await expect(found).rejects.toMatchObject({
      code: 'IN_USE',
      details: { rejected: [{ bdf: '0000:05:00.0', rule: 'in-use.sriov' }] },
    });
  });

  it('passes over what another VM has, and names that one', async () => {
    using mine = gpuHost();
    const runtime = createFileStore(`${mine.root}/run-state`);
    const key = { key: 'group-3', scope: 'vm-of-alice', journal: '/run/qmplug' };
    await new Reservations(runtime).take(key, 'plan-1');
    const host = { effects: mine.effects, runtime };
    const { chosen, rejected } = await resolveSelector(host, parseSelector('id:10de:2204'));
    expect(chosen.map(({ name }) => name)).toEqual(['0000:81:00.0']);
    expect(rejected).toContainEqual(
      expect.objectContaining({
        bdf: '0000:01:00.0',
        reason: 'reserved',
        evidence: 'reserved for vm-of-alice',
      }),
    );
    const own = resolveSelector(host, parseSelector('id:10de:2204 numa:0'), {
      scope: 'vm-of-alice',
    });
    expect((await own).chosen).toHaveLength(1);
    await expect(resolveSelector(host, parseSelector('id:10de:2204 numa:0'))).rejects.toMatchObject(
      { code: 'CONFLICT' },
    );
  });

  it('tells near misses by the one term that fails', async () => {
    await expect(resolve('id:10de:2204 numa:7')).rejects.toMatchObject({
      code: 'NO_MATCH',
      message: expect.stringContaining('0000:01:00.0 but for numa:7 (numa=0)') as unknown,
      details: { nearMisses: GPUS },
    });
  });
});

describe('what cannot be read', () => {
  async function hostWithout(pattern: RegExp): Promise<HostEffects> {
    const failing = Object.create(tree.effects) as HostEffects;
    const guard = <T>(path: string, read: () => Promise<T>) =>
      pattern.test(path) ? Promise.reject(new HostIoError('EIO', 'read', path)) : read();
    failing.read = (path, options) => guard(path, () => tree.effects.read(path, options));
    failing.readlink = (path) => guard(path, () => tree.effects.readlink(path));
    return failing;
  }

  it('matches neither a term nor its negation, and keeps nobody else out', async () => {
    const effects = await hostWithout(/0000:01:00\.0\/(numa_node|iommu_group)$/);
    for (const text of [
      'numa:0',
      '!numa:0',
      'numa:!0',
      'group:3',
      '!group:3',
      'numa>=0',
      'has:numa',
      '!has:numa',
    ]) {
      const found = resolveSelector(
        { effects },
        parseRequest(`id:10de:2204 (${text} | numa:1)`, all),
        { guarded: false },
      );
      expect((await found).chosen.map(({ name }) => name)).toEqual(['0000:81:00.0']);
      const { rejected } = await found;
      expect(rejected.find(({ bdf }) => bdf === '0000:01:00.0')).toMatchObject({
        reason: 'unknown',
      });
    }
  });

  it('never matches an expression and its negation, whatever the expression', async () => {
    const effects = await hostWithout(/numa_node|resource|driver$|class$/);
    const set = await readCandidates({ effects }, new Set());
    fc.assert(
      fc.property(anyExpression, (expression) => {
        const yes = compileMatcher(expression);
        const no = compileMatcher({ kind: 'not', of: expression });
        for (const candidate of set.candidates) {
          const answers = [yes.judge(candidate, set).truth, no.judge(candidate, set).truth].sort();
          expect([
            ['no', 'yes'],
            ['unknown', 'unknown'],
          ]).toContainEqual(answers);
        }
      }),
    );
  });

  it('takes no name where no list of names is installed, and no negation of one', async () => {
    const host = { effects: tree.effects, pciIds: ['/nonexistent/pci.ids'] };
    const matching = async (text: string) =>
      resolveSelector(host, parseRequest(text, all), { guarded: false });
    await expect(matching('vendor:nvidia*')).rejects.toMatchObject({ code: 'NO_MATCH' });
    await expect(matching('!vendor:nvidia*')).rejects.toMatchObject({ code: 'NO_MATCH' });
    expect((await matching('vendor:!8086 class:gpu')).chosen).toHaveLength(2);
    tree.file(
      '/names',
      '# list\n10de  NVIDIA Corporation\n\t2204  GA102 [GeForce RTX 3090]\n8086  Intel Corporation\n',
    );
    const named = { effects: tree.effects, pciIds: [tree.real('/names')] };
    const ok = resolveSelector(named, parseRequest('vendor:"nvidia *" device:/.*3090.*/', all), {
      guarded: false,
    });
    expect((await ok).chosen.map(({ name }) => name)).toEqual(GPUS);
  });
});

describe('the same answer', () => {
  it('whatever the order of the directories, and of the plugging', async () => {
    using other = gpuHost('backwards');
    await fc.assert(
      fc.asyncProperty(
        fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })),
        anyExpression,
        async (random, expression) => {
          const shuffled = Object.create(other.effects) as HostEffects;
          shuffled.list = async (path) => {
            const listed = [...(await other.effects.list(path))];
            const keys = new Map(listed.map((name) => [name, random.next().value]));
            return listed.sort((a, b) => (keys.get(a) ?? 0) - (keys.get(b) ?? 0));
          };
          const request = { ...parseRequest('vf', all), expression };
          const answers = await Promise.all(
            [tree.effects, shuffled].map((effects) =>
              resolveSelector({ effects, pciIds: [] }, request, { guarded: false }).then(
                ({ chosen, rejected, snapshotHash, selectorHash }) => ({
                  chosen: chosen.map(({ name }) => name),
                  rejected: rejected.map(({ bdf }) => bdf),
                  snapshotHash,
                  selectorHash,
                }),
                (error: unknown) => (error as { code: string }).code,
              ),
            ),
          );
          expect(answers[1]).toEqual(answers[0]);
        },
      ),
      { numRuns: 25 },
    );
  });

  it('for any order of the candidates', async () => {
    const set = await readCandidates({ effects: tree.effects }, new Set());
    const rules = {
      rules: [],
      scope: undefined,
      owner: undefined,
      guarded: false,
      onlyFree: false,
    };
    fc.assert(
      fc.property(
        fc.shuffledSubarray([...set.candidates], { minLength: set.candidates.length }),
        fc.constantFrom('numa', '-bar', 'class'),
        (candidates, key) => {
          const request = parseRequest('kind:pci', {
            policy: 'first:4',
            order: [key],
            distinct: ['id'],
          });
          const chosen = (each: typeof candidates) =>
            choose(request, { ...set, candidates: each }, rules).chosen.map(({ name }) => name);
          expect(chosen(candidates)).toEqual(chosen([...set.candidates]));
        },
      ),
    );
  });
});

it('reports one line at info, with what the device is', async () => {
  const lines: { level: string; details: object; message: string }[] = [];
  const log = (level: string) => (details: object, message: string) =>
    void lines.push({ level, details, message });
  const logger = { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') };
  await resolve('class:nvme', {}, { logger, guarded: false });
  expect(lines.map(({ level }) => level)).toEqual(['info', 'debug']);
  expect(lines[0]).toMatchObject({
    message:
      'class:nvme is 10000:e1:00.0 8086:10d3 (serial S4EV-77, NUMA node 0, IOMMU group 6, driver nvme)',
    details: {
      devices: [{ name: '10000:e1:00.0', serial: 'S4EV-77', numa: 0, group: 6, driver: 'nvme' }],
    },
  });
  expect(lines[1]).toMatchObject({ details: { rejected: expect.arrayContaining([]) as unknown } });
});
