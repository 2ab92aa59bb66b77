import { describe, expect, it } from 'vitest';
import { HostControl, openVm, type Environment, type Vm } from '../../src/index.js';
import type { World } from '../../src/simulator/index.js';
import { identifyVm } from '../../src/vm/identity.js';
import { ACCELERATOR, ADDRESS, createHostWorld, environmentOf, runTask } from './simulated.js';

interface Line {
  readonly level: string;
  readonly message: string;
  readonly requestId?: string;
  readonly durationMs?: number;
  readonly operation?: string;
  readonly outcome?: string;
  readonly selector?: string;
}

const make = () => createHostWorld({ seed: 1, guest: { kind: 'linux' } });

/** Runs work with a log of its own, whose requests are named 1, 2, 3 ... */
async function logged<T>(
  world: World,
  work: (environment: Environment, connect: () => Promise<Vm>) => Promise<T>,
): Promise<{ readonly lines: readonly Line[]; readonly value: T }> {
  const lines: Line[] = [];
  let count = 0;
  const at = (level: string) => (details: object, message: string) => {
    lines.push({ level, message, ...details });
  };
  const process = world.startController();
  const environment: Environment = {
    ...environmentOf(process),
    logger: { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') },
    newRequestId: () => `request-${++count}`,
  };
  const connect = async () =>
    openVm(ADDRESS, {
      environment,
      transport: () => process.connect(ADDRESS),
      identity: await identifyVm(ADDRESS, process.effects),
    });
  const value = await runTask(world, process, () => work(environment, connect));
  return { lines, value };
}

const operationsIn = (lines: readonly Line[]) =>
  lines.flatMap(({ operation, outcome, requestId, level }) =>
    operation === undefined ? [] : [`${level} ${requestId} ${operation}: ${outcome}`],
  );

describe('the log of a request', () => {
  it('has its id and how long it took, as its answer has', async () => {
    const world = make();
    const device = 'id:1da3:1000';
    const { lines, value } = await logged(world, async (_, connect) => {
      await using vm = await connect();
      const from = world.clock.now();
      const attached = await vm.attach({ device }, { requestId: 'caller:7' });
      const between = world.clock.now();
      const detached = await vm.detach(ACCELERATOR);
      return { attached, detached, from, between, to: world.clock.now() };
    });
    const { attached, detached, from, between, to } = value;
    expect(attached).toMatchObject({ requestId: 'caller:7', durationMs: between - from });
    expect(detached).toMatchObject({ requestId: 'request-1', durationMs: to - between });
    expect(attached.durationMs).toBeGreaterThan(0);
    expect(operationsIn(lines)).toEqual([
      'info caller:7 attach: done',
      'info request-1 detach: done',
    ]);
    expect(lines.find(({ operation }) => operation === 'attach')?.message).toMatch(
      /^attach id:1da3:1000: done in \d+ ms$/,
    );
    const chosen = lines.find(({ selector, level }) => selector === device && level === 'info');
    expect(chosen).toMatchObject({
      requestId: 'caller:7',
      durationMs: expect.any(Number) as unknown,
    });
  });

  it('has how it ended where it failed', async () => {
    const world = make();
    const { lines } = await logged(world, async (_, connect) => {
      await using vm = await connect();
      const request = { device: ACCELERATOR, port: 'rp9' };
      await expect(vm.attach(request)).rejects.toMatchObject({ code: 'NO_SUCH_PORT' });
      await expect(
        vm.attachBatch({ device: 'class:nic', choice: { policy: 'all' } }, { requestId: 'b' }),
      ).rejects.toMatchObject({ code: 'NO_MATCH' });
      await expect(vm.detach('a\n/b')).rejects.toMatchObject({ code: 'SYNTAX' });
    });
    expect(operationsIn(lines)).toEqual([
      'warn request-1 attach: NO_SUCH_PORT',
      'warn b attach: NO_MATCH',
      'warn request-2 detach: SYNTAX',
    ]);
    expect(lines.some(({ message }) => message.includes('\n'))).toBe(false);
  });

  it('is one of what is done for the host alone, and of a recovery', async () => {
    const world = make();
    const { lines } = await logged(world, async (environment, connect) => {
      const control = new HostControl(environment);
      await control.bind({ devices: [ACCELERATOR] }, { requestId: 'mine' });
      await control.release({ devices: [ACCELERATOR] });
      await using vm = await connect();
      await vm.recover();
    });
    expect(operationsIn(lines)).toEqual([
      'info mine host bind: done',
      'info request-1 host release: done',
      'info request-2 recover: done',
    ]);
  });

  it.each(['', ' ', '-x', 'a b', 'a\nb', 'a"b', 'x'.repeat(65)])(
    'refuses the id %j, and does nothing',
    async (requestId) => {
      const world = make();
      const before = world.snapshot();
      const { lines } = await logged(world, async (environment, connect) => {
        await using vm = await connect();
        const control = new HostControl(environment);
        for (const call of [
          vm.attach({ device: ACCELERATOR }, { requestId }),
          vm.attachBatch({ device: ACCELERATOR }, { requestId }),
          vm.detach(ACCELERATOR, { requestId }),
          vm.recover({ requestId }),
          control.bind({ devices: [ACCELERATOR] }, { requestId }),
        ]) {
          await expect(call).rejects.toMatchObject({ code: 'BAD_ARGUMENT' });
        }
      });
      expect(operationsIn(lines)).toEqual([]);
      expect(world.snapshot()).toBe(before);
      expect(world.store.contents).toEqual([]);
    },
  );

  it('is nothing that QEMU hears of', async () => {
    const said = async (requestId: string) => {
      const world = make();
      await logged(world, async (_, connect) => {
        await using vm = await connect();
        await vm.attach({ device: ACCELERATOR }, { requestId });
      });
      return world.trace.entries.filter(({ source }) => source.startsWith('qmp:'));
    };
    const [one, other] = [await said('one'), await said('other')];
    expect(one.length).toBeGreaterThan(0);
    expect(one).toEqual(other);
    expect(JSON.stringify(one)).not.toContain('"one"');
  });
});
