import { describe, expect, it } from 'vitest';
import type { Clock } from '../../src/clock.js';
import type { JsonObject } from '../../src/json.js';
import { createWorld, rootPorts, type WorldConfig } from '../../src/simulator/index.js';
import { BenchVm } from './bench-vm.js';
import { RawClient } from './raw-client.js';

const ADDRESS = 'unix:/run/vm0.sock';
const PORTS = { qemu: { devices: rootPorts(3) } } as const;

function connected(config: Partial<WorldConfig> = {}) {
  const world = createWorld({ seed: 1, ...PORTS, ...config });
  return { world, client: new RawClient(world.connect(ADDRESS)) };
}

describe('negotiation', () => {
  it('greets with the version and, unless told otherwise, with oob', async () => {
    const { world, client } = connected();
    expect(await world.run(client.greeting())).toMatchObject({
      QMP: { version: { qemu: { major: 7, minor: 2, micro: 22 } }, capabilities: ['oob'] },
    });
    const plain = connected({ qemu: { release: '10.0.13', oob: false } });
    expect(await plain.world.run(plain.client.greeting())).toMatchObject({
      QMP: { version: { qemu: { major: 10 } }, capabilities: [] },
    });
  });

  it('refuses commands before it and capabilities it does not have', async () => {
    const { world, client } = connected({ qemu: { oob: false } });
    await world.run(client.greeting());
    expect(await world.run(client.command('query-status'))).toEqual({
      error: {
        class: 'CommandNotFound',
        desc: "Expecting capabilities negotiation with 'qmp_capabilities'",
      },
    });
    expect(await world.run(client.command('qmp_capabilities', { enable: ['oob'] }))).toEqual({
      error: { class: 'GenericError', desc: 'Capability oob not available' },
    });
  });

  it('keeps events from a client that has not negotiated', async () => {
    const { world, client } = connected();
    world.vm().machine.stop();
    await world.clock.advance(10);
    expect(client.events).toEqual([]);
  });
});

it('answers in the order in which it was asked, however time goes on meanwhile', async () => {
  const { world, client } = connected();
  await world.run(client.negotiate());
  // As in real time, every look at the clock finds it later.
  let looks = 0;
  const restless: Clock = {
    now: () => (looks += 1) * 0.03,
    after: (_, callback) => {
      const timer = setTimeout(callback, 0);
      return () => {
        clearTimeout(timer);
      };
    },
  };
  const stop = world.clock.follow(restless);
  const answered: number[] = [];
  const asked = Array.from({ length: 200 }, (_, turn) =>
    client.command('query-status').then(() => answered.push(turn)),
  );
  await Promise.all(asked);
  stop();
  expect(answered).toEqual([...answered].sort((a, b) => a - b));
});

describe('clients of one monitor', () => {
  it('are served one at a time, the others wait without a word', async () => {
    const { world, client } = connected();
    await world.run(client.negotiate());
    const second = new RawClient(world.connect(ADDRESS));
    await world.clock.advance(60_000);
    expect(second.others).toEqual([]);
    client.close();
    expect(await world.run(second.greeting())).toHaveProperty('QMP');
    expect(await world.run(second.command('query-name'))).toHaveProperty('error');
  });

  it('find the queue full after the third', () => {
    const { world } = connected();
    world.connect(ADDRESS);
    world.connect(ADDRESS);
    expect(() => world.connect(ADDRESS)).toThrow(expect.objectContaining({ code: 'MONITOR_BUSY' }));
  });

  it('cannot connect where nobody listens', () => {
    const { world } = connected();
    expect(() => world.connect('unix:/run/other.sock')).toThrow(/ENOENT/);
    world.vm().kill();
    expect(() => world.connect(ADDRESS)).toThrow(/ECONNREFUSED/);
  });

  it('lose what was queued when they leave, and the answer of what ran', async () => {
    const vm = await BenchVm.start(PORTS);
    const { client, world } = vm;
    const add = (id: string, bus: string) =>
      client.sendCommand('device_add', { driver: 'edu', id, bus, addr: '0x0' });
    await Promise.all([add('a', 'rp0'), add('b', 'rp1')]);
    await vm.advance(0.21);
    client.close();
    await vm.advance(100);
    const after = new RawClient(world.connect(ADDRESS));
    await world.run(after.negotiate());
    const list = await world.run(after.command('qom-list', { path: '/machine/peripheral' }));
    expect(JSON.stringify(list)).toContain('"a"');
    expect(JSON.stringify(list)).not.toContain('"b"');
  });
});

it('tells every monitor of every event', async () => {
  const monitors = ['unix:/run/one.sock', 'unix:/run/two.sock'];
  const vm = await BenchVm.start({ qemu: { devices: rootPorts(1), monitors } });
  const other = new RawClient(vm.world.connect('unix:/run/two.sock'));
  await vm.world.run(other.negotiate());
  await vm.add('a', 'rp0');
  await vm.del('a');
  await vm.untilDeleted('a');
  await vm.advance(1);
  expect(other.deleted).toEqual(['a']);
});

it('answers pipelined commands in order, each by its id', async () => {
  const vm = await BenchVm.start(PORTS);
  const names = ['query-name', 'query-status', 'no-such', 'query-target', 'query-uuid'];
  const ids = await Promise.all(names.map((name) => vm.client.sendCommand(name)));
  const answers = await vm.world.run(Promise.all(ids.map((id) => vm.client.answer(id))));
  expect(answers.map((answer) => Object.keys(answer)[0])).toEqual([
    'return',
    'return',
    'error',
    'return',
    'return',
  ]);
  const order = vm.client.others.map(({ id }) => id).filter((id) => ids.includes(Number(id)));
  expect(order).toEqual(ids);
});

it.each(['whole', 'random', 'bytes'] as const)('writes the same in %s chunks', async (chunks) => {
  const vm = await BenchVm.start({ ...PORTS, chunks });
  expect(await vm.peripherals()).toEqual(['rp0', 'rp1', 'rp2']);
});

it('drops half a request at a control character and works on', async () => {
  const vm = await BenchVm.start(PORTS);
  await vm.client.send('{"execute": "device_add", "arg\u001b');
  expect(await vm.value('query-name')).toEqual({});
  expect(vm.client.others).toContainEqual({
    error: { class: 'GenericError', desc: "JSON parse error, stray '\\u001b'" },
  });
});

it('makes every command of every monitor wait for a slow device_add', async () => {
  const vm = await BenchVm.start({
    qemu: { devices: rootPorts(1), timing: { vfioOpenMs: [5_000, 5_000] } },
  });
  const slow = vm.client.sendCommand('device_add', { driver: 'vfio-pci', id: 'v', bus: 'rp0' });
  await slow;
  const startMs = vm.nowMs;
  await vm.value('query-status');
  expect(vm.nowMs - startMs).toBeGreaterThan(5_000);
});

// QEMU 7.2, softmmu/runstate.c: main_loop_should_exit.
it('takes a VM that stood still at its reset for one that has not started', async () => {
  const vm = await BenchVm.start(PORTS);
  const status = async () => (await vm.value('query-status')) as JsonObject;
  await vm.value('system_reset');
  expect(await status()).toMatchObject({ status: 'running' });
  await vm.value('stop');
  expect(await status()).toMatchObject({ status: 'paused' });
  await vm.value('system_reset');
  await vm.value('stop');
  expect(await status()).toMatchObject({ status: 'prelaunch', running: false });
  await vm.value('cont');
  expect(await status()).toMatchObject({ status: 'running' });
});

it('ends the session after quit, with SHUTDOWN before it', async () => {
  const vm = await BenchVm.start(PORTS);
  await vm.client.sendCommand('quit');
  await vm.advance(100);
  expect(vm.client.closed).toBe(true);
  expect(vm.client.events.map(({ event }) => event)).toEqual(['SHUTDOWN']);
  expect(vm.world.kernel.processes.get(vm.world.vm().process.pid)).toBeUndefined();
});
