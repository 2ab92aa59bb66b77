import { expect, it } from 'vitest';
import type { Logger } from '../../../src/logger.js';
import { silentLogger } from '../../../src/logger.js';
import { parseRequest } from '../../../src/host/selector/parse-selector.js';
import {
  resolveSelector,
  type ResolveOptions,
} from '../../../src/host/selector/resolve-selector.js';
import { createMemoryStore } from '../../support/memory-store.js';
import { gpuHost } from './gpu-host.js';

const FIRST = 'id:10de:2204';

function scene() {
  const tree = gpuHost();
  const answers = createMemoryStore();
  const told: string[] = [];
  const logger: Logger = {
    ...silentLogger,
    info: (_, message) => void told.push(message),
    warn: (_, message) => void told.push(`warning: ${message}`),
  };
  return {
    tree,
    answers,
    told,
    ask: (text: string, order: string, more: ResolveOptions = {}) =>
      resolveSelector(
        { effects: tree.effects, answers, vmNodes: [0] },
        { ...parseRequest(text, { policy: 'first:1', order: [order] }), order: [] },
        { logger, wallClock: () => Date.UTC(2026, 0, 1), ...more },
      ),
    [Symbol.dispose]: () => tree[Symbol.dispose](),
  };
}

it('warns where a selector means another device than the last time', async () => {
  using host = scene();
  const { tree, told, ask } = host;
  expect((await ask(FIRST, 'numa')).notes).toEqual([]);
  expect((await ask(FIRST, 'numa')).notes).toEqual([]);
  expect(told).toEqual([
    'id:10de:2204 is 0000:01:00.0 10de:2204 (NUMA node 0, IOMMU group 3, no driver)',
    'id:10de:2204 is 0000:01:00.0 10de:2204 (NUMA node 0, IOMMU group 3, no driver)',
  ]);
  tree.remove('/sys/bus/pci/devices/0000:01:00.0');
  const change =
    'id:10de:2204 meant 0000:01:00.0 10de:2204 at 2026-01-01T00:00:00.000Z, and means 0000:81:00.0 10de:2204 now; to be held to one: qmplug host pin';
  expect((await ask(FIRST, 'numa')).notes).toEqual([change]);
  expect(told.at(-1)).toBe(`warning: ${change}`);
  // It has been said.
  expect((await ask(FIRST, 'numa')).notes).toEqual([]);
});

it('keeps nothing of a device that is named, and of what is only looked at', async () => {
  using host = scene();
  await host.ask('0000:01:00.0', 'numa');
  await host.ask(FIRST, 'numa', { guarded: false });
  expect([...host.answers.files]).toEqual([]);
});

it('goes on where what was kept is damaged, or a kill has left a draft', async () => {
  using host = scene();
  await host.ask(FIRST, 'numa');
  const [name = ''] = host.answers.files.keys();
  for (const text of ['', '[{"selectorHash":1}]', '{}', '[null]']) {
    await host.answers.remove(name);
    await host.answers.create(name, text);
    await host.answers.create('last-answers.next', 'half');
    expect((await host.ask(FIRST, 'numa')).notes).toEqual([]);
    expect([...host.answers.files.keys()]).toEqual([name]);
  }
});

it('keeps as many as a host can need, and no more', async () => {
  using host = scene();
  for (let count = 0; count < 205; count += 1) {
    await host.ask(`id:10de:2204 numa>=-${count}`, 'numa');
  }
  const [text = ''] = host.answers.files.values();
  expect(JSON.parse(text)).toHaveLength(200);
});

it('tells how near the nodes of the VM a device is', async () => {
  using host = scene();
  host.tree.file('/sys/devices/system/node/node0/distance', '10 21\n');
  host.tree.file('/sys/devices/system/node/node1/distance', '21 10\n');
  const { placement } = await host.ask(FIRST, 'numa');
  expect(placement).toEqual([{ name: '0000:01:00.0', node: 0, penalty: 0 }]);
  const far = await host.ask(`${FIRST} numa:1`, 'numa');
  expect(far.placement).toEqual([{ name: '0000:81:00.0', node: 1, penalty: 11 }]);
});
