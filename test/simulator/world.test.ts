import { describe, expect, it } from 'vitest';
import { openSession } from '../../src/qmp/connect.js';
import {
  createWorld,
  gpuFunction,
  GUESTS,
  Random,
  rootPorts,
  type WorldConfig,
} from '../../src/simulator/index.js';

const GPU = '0000:41:00.0';
const ADDRESS = 'unix:/run/vm0.sock';
const OVERRIDE = `/sys/bus/pci/devices/${GPU}/driver_override`;

const make = (config: Partial<WorldConfig> = {}) =>
  createWorld({
    seed: 1,
    qemu: { devices: rootPorts(2), guest: GUESTS.linux },
    host: { functions: [gpuFunction({ bdf: GPU, group: 7 })] },
    ...config,
  });

describe('a controller process', () => {
  it('reaches the host and a monitor', async () => {
    const world = make();
    const process = world.startController();
    const outcome = await world.run(
      process.run(async () => {
        const session = await openSession(await process.connect(ADDRESS), { clock: process.clock });
        const status = await session.execute('query-status');
        await session.close();
        return [status, await process.effects.read(OVERRIDE)];
      }),
    );
    expect(outcome).toMatchObject({ kind: 'done', value: [{ running: true }, '(null)\n'] });
  });

  it('reports what its task throws', async () => {
    const world = make();
    const process = world.startController();
    const outcome = await world.run(process.run(() => process.effects.read('/nowhere')));
    expect(outcome).toMatchObject({ kind: 'failed', error: { errno: 'ENOENT' } });
  });

  it('can be killed at every one of its operations', async () => {
    const task = async (process: ReturnType<ReturnType<typeof make>['startController']>) => {
      await process.effects.write(OVERRIDE, 'one');
      await process.effects.write(OVERRIDE, 'two');
      await process.effects.write(OVERRIDE, 'three');
    };
    const after: Record<string, string | undefined> = {};
    for (const moment of ['before', 'after'] as const) {
      for (const operation of [1, 2, 3]) {
        const world = make();
        const process = world.startController();
        process.killAt(operation, moment);
        const outcome = await world.run(process.run(() => task(process)));
        expect(outcome.kind).toBe('killed');
        after[`${moment} ${operation}`] = world.kernel.find(GPU)?.driverOverride;
      }
    }
    expect(after).toEqual({
      'before 1': undefined,
      'before 2': 'one',
      'before 3': 'two',
      'after 1': 'one',
      'after 2': 'two',
      'after 3': 'three',
    });
  });

  it('is deaf once it is dead: no answer, no timer, no event', async () => {
    const world = make();
    const process = world.startController();
    const heard: string[] = [];
    const transport = await process.connect(ADDRESS);
    transport.start({
      onData: () => heard.push('data'),
      onClose: () => heard.push('close'),
    });
    process.clock.after(10, () => heard.push('timer'));
    process.kill();
    void process.effects.read(OVERRIDE).then(
      () => heard.push('answer'),
      () => heard.push('error'),
    );
    await world.clock.advance(60_000);
    expect(heard).toEqual([]);
  });

  it('leaves no process and no client behind', async () => {
    const world = make();
    const first = world.startController();
    await world.run(
      first.connect(ADDRESS).then((transport) => openSession(transport, { clock: first.clock })),
    );
    first.kill();
    expect(world.kernel.processes.get(first.pid)).toBeUndefined();
    const second = world.startController();
    const session = await world.run(
      second.connect(ADDRESS).then((transport) => openSession(transport, { clock: second.clock })),
    );
    expect(session.version.major).toBe(7);
  });

  it('has its write completed by the kernel after its death', async () => {
    const world = make();
    const fn = world.kernel.find(GPU);
    let release: () => void = () => undefined;
    void fn?.lock.run(
      () =>
        new Promise<void>((resolve) => {
          release = resolve;
        }),
    );
    const process = world.startController();
    void process.effects.write(`/sys/bus/pci/devices/${GPU}/driver/unbind`, GPU);
    await world.clock.settle();
    process.kill();
    expect(fn?.driver).toBe('nvidia');
    release();
    await world.clock.settle();
    expect(fn?.driver).toBeUndefined();
  });

  it('has the command run by QEMU that it sent before its death', async () => {
    const world = make();
    const process = world.startController();
    const session = await world.run(
      process.connect(ADDRESS).then((one) => openSession(one, { clock: process.clock })),
    );
    void session.execute('device_add', { driver: 'edu', id: 'a', bus: 'rp0', addr: '0x0' });
    await world.clock.settle();
    process.kill();
    await world.clock.advance(100);
    expect(world.vm().machine.find('a')).toBeDefined();
  });
});

describe('the state store', () => {
  it('outlives the process and forgets nothing', async () => {
    const world = make();
    const first = world.startController();
    await world.run(first.store.create('locks/vm', 'one'));
    expect(await world.run(first.store.create('locks/vm', 'two'))).toBe(false);
    await world.run(first.store.append('journal/a', 'line\n'));
    first.kill();
    const { store } = world.startController();
    expect(await world.run(store.list('locks'))).toEqual(['vm']);
    expect(await world.run(store.read('journal/a'))).toBe('line\n');
    await world.run(store.rename('journal/a', 'journal/b'));
    expect(await world.run(store.remove('journal/b'))).toBe(true);
    expect(await world.run(store.remove('journal/b'))).toBe(false);
    expect(world.store.contents).toEqual([['locks/vm', 'one']]);
  });

  it('tells its watchers, but not those of a dead process', async () => {
    const world = make();
    const first = world.startController();
    const second = world.startController();
    const told: string[] = [];
    first.store.watch('locks', () => told.push('first'));
    const stop = second.store.watch('locks', () => told.push('second'));
    first.kill();
    await world.run(second.store.create('locks/a', ''));
    stop();
    await world.run(second.store.create('locks/b', ''));
    expect(told).toEqual(['second']);
  });

  it('can be full, and can be left with half a line by a kill', async () => {
    const world = make({ faults: { rules: [{ fault: 'store-fails' }] } });
    const process = world.startController();
    await expect(world.run(process.store.append('j/a', 'x'))).rejects.toMatchObject({
      code: 'STATE_UNWRITABLE',
      details: { errno: 'ENOSPC' },
    });
    world.faults.add({ fault: 'torn-append' });
    const outcome = await world.run(process.run(() => process.store.append('j/a', 'whole line\n')));
    expect(outcome.kind).toBe('killed');
    const text = (await world.store.read('j/a')) ?? '';
    expect('whole line\n'.startsWith(text)).toBe(true);
    expect(text.length).toBeLessThan('whole line\n'.length);
  });
});

describe('determinism', () => {
  async function history(seed: number): Promise<string> {
    const world = make({
      seed,
      chunks: 'random',
      hostLatencyMs: 3,
      faults: { random: { probability: 0.1, limit: 6 } },
    });
    const random = new Random(seed);
    for (let life = 0; life < 4; life++) {
      const process = world.startController();
      await world.run(
        process.run(async () => {
          await process.effects.write(OVERRIDE, `life${life}`);
          const session = await openSession(await process.connect(ADDRESS), {
            clock: process.clock,
          });
          const id = `d${life}`;
          const bus = random.pick(['rp0', 'rp1']);
          await session.execute('device_add', { driver: 'edu', id, bus, addr: '0x0' });
          await session.execute('device_del', { id });
        }),
        100_000_000,
      );
      process.kill();
      await world.clock.advance(2_000);
    }
    return `${world.trace.toString()}\n${world.snapshot()}`;
  }

  it('gives the same history for the same seed, and another for another', async () => {
    expect(await history(3)).toBe(await history(3));
    expect(await history(3)).not.toBe(await history(4));
  });
});

it('runs several VMs on one host, each with its own process and sockets', () => {
  const world = createWorld({
    seed: 1,
    qemu: [{ name: 'one' }, { name: 'two', monitors: ['unix:/run/a', 'unix:/run/b'] }],
  });
  const pids = world.vms.map(({ process }) => process.pid);
  expect(new Set(pids).size).toBe(2);
  expect(world.vm('two').sockets.map(({ path }) => path)).toEqual(['/run/a', '/run/b']);
  const inodes = world.vms.flatMap(({ sockets }) => sockets.map(({ inode }) => inode));
  expect(new Set(inodes).size).toBe(3);
});

describe('Random', () => {
  it('depends on the seed alone, and a fork only on its name', () => {
    const draws = (random: Random) => Array.from({ length: 5 }, () => random.next());
    expect(draws(new Random('a'))).toEqual(draws(new Random('a')));
    expect(draws(new Random('a'))).not.toEqual(draws(new Random('b')));
    const one = new Random('a');
    one.next();
    expect(draws(one.fork('x'))).toEqual(draws(new Random('a').fork('x')));
  });

  it('draws whole numbers with both ends included', () => {
    const random = new Random(1);
    const seen = new Set(Array.from({ length: 200 }, () => random.integer(2, 4)));
    expect([...seen].sort()).toEqual([2, 3, 4]);
    expect(() => random.pick([])).toThrow(RangeError);
  });
});
