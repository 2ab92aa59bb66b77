import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { CliHome } from '../cli/run-cli.js';
import { RawQmp } from '../support/raw-qmp.js';
import { rootPort, startQemu, type Qemu } from '../support/qemu.js';
import { waitForNumberedBuses } from './numbered-buses.js';

const TESTDEV = '{"driver":"pci-testdev"}';
const RNG = '{"driver":"virtio-rng-pci"}';
const PORTS = [rootPort('rp0', 2), rootPort('rp1', 3), rootPort('rp2', 4)].flat();

interface AttachDocument {
  readonly attachment: {
    readonly group: number | null;
    readonly already: boolean;
    readonly functions: readonly { readonly id: string; readonly port: string }[];
  };
  readonly steps: readonly { readonly kind: string; readonly outcome: string }[];
}

/** One machine with a home for the command line. */
class Bench implements AsyncDisposable {
  readonly home = new CliHome();
  readonly qemu: Qemu;

  private constructor(qemu: Qemu) {
    this.qemu = qemu;
  }

  /** Native hot-plug needs no guest to unplug, ACPI's does. */
  static async start(hotplug: 'native' | 'acpi'): Promise<Bench> {
    const qemu = await startQemu({ hotplug, args: PORTS });
    await waitForNumberedBuses(qemu, ['rp0', 'rp1', 'rp2']);
    return new Bench(qemu);
  }

  get vm(): string {
    return this.qemu.qmpPath;
  }

  attach(device: string, id: string, ...more: readonly string[]) {
    return this.home.json(['attach', this.vm, '--device', device, '--id', id, ...more]);
  }

  detach(id: string, ...more: readonly string[]) {
    return this.home.json(['detach', this.vm, id, ...more]);
  }

  /** The port that an attach chose. */
  async portOf(
    attaching: ReturnType<CliHome['json']>,
    warnings = /^$/,
  ): Promise<string | undefined> {
    const { status, document, stderr } = await attaching;
    expect(status).toBe(0);
    expect(stderr).toMatch(warnings);
    // Checked by the expectations on the document's shape.
    return (document as unknown as AttachDocument).attachment.functions[0]?.port;
  }

  /** The devices as QEMU has them, by the lab's own monitor. */
  async devices(): Promise<readonly string[]> {
    const entries = (await this.qemu.qmp.execute('qom-list', {
      path: '/machine/peripheral',
    })) as { name: string; type: string }[];
    return entries
      .filter(({ type }) => type.startsWith('child<'))
      .map(({ name }) => name)
      .filter((name) => !name.startsWith('rp'))
      .sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.qemu.kill();
    this.home[Symbol.dispose]();
  }
}

const refusal = (code: string, more: object = {}) => ({
  status: 3,
  document: { error: { code, undone: [], ...more } },
});

describe('a machine that unplugs by itself', () => {
  let bench: Bench;
  beforeAll(async () => {
    bench = await Bench.start('native');
  });
  afterAll(() => bench[Symbol.asyncDispose]());
  beforeEach(async () => {
    for (const id of await bench.devices()) {
      expect(await bench.detach(id, '--allow', 'slot-mates')).toMatchObject({ status: 0 });
    }
  });

  it('puts a third device never on an occupied port', async () => {
    expect(await bench.portOf(bench.attach(TESTDEV, 'one'))).toBe('rp0');
    expect(await bench.portOf(bench.attach(RNG, 'two'))).toBe('rp1');
    expect(await bench.detach('one')).toMatchObject({ status: 0 });
    expect(await bench.portOf(bench.attach(TESTDEV, 'three'))).toBe('rp0');
    expect(await bench.devices()).toEqual(['three', 'two']);
  });

  it('prints what it attached, exactly as documented', async () => {
    const ran = await bench.attach(TESTDEV, 'dev0', '--port', 'rp1');
    const bar = (index: number, sizeBytes: number) => ({
      bar: index,
      sizeBytes,
      address: null,
    });
    expect(ran).toEqual({
      status: 0,
      stderr: '',
      document: {
        attachment: {
          group: null,
          already: false,
          functions: [
            {
              id: 'dev0',
              host: null,
              port: 'rp1',
              addr: '0x0',
              guestPath: '03/00',
              guestBdf: '0000:02:00.0',
              bars: [bar(0, 4096), bar(1, 256)],
            },
          ],
        },
        steps: [{ kind: 'AddDevice', outcome: 'done', ms: expect.any(Number) as unknown }],
      },
    });
    const removed = await bench.detach('dev0');
    const step = (kind: string) => ({ kind, outcome: 'done', ms: expect.any(Number) as unknown });
    expect(removed).toEqual({
      status: 0,
      stderr: '',
      document: {
        removals: [{ id: 'dev0', state: 'unplugged', ms: expect.any(Number) as unknown }],
        steps: ['RemoveDevice', 'AwaitRemoval', 'ForgetAttachment'].map(step),
      },
    });
  });

  it('answers an attach that is done already with already:true, elsewhere or otherwise not', async () => {
    await bench.attach(TESTDEV, 'dev0');
    expect(await bench.attach(TESTDEV, 'dev0')).toMatchObject({
      status: 0,
      document: { attachment: { already: true, functions: [{ port: 'rp0' }] }, steps: [] },
    });
    expect(await bench.attach(TESTDEV, 'dev0', '--dry-run')).toMatchObject({
      status: 0,
      document: { attachment: { already: true, functions: [{ port: 'rp0' }] }, steps: [] },
    });
    const elsewhere = await bench.attach(TESTDEV, 'dev0', '--port', 'rp2');
    expect(elsewhere).toMatchObject(refusal('ATTACHED_ELSEWHERE'));
    expect(await bench.attach(RNG, 'dev0')).toMatchObject(refusal('ATTACHED_ELSEWHERE'));
  });

  it('prints in a dry run the steps that are then run, and changes nothing', async () => {
    const kinds = ({ document }: { document: Record<string, unknown> }) =>
      (document as unknown as AttachDocument).steps.map(({ kind }) => kind);
    const outcomes = ({ document }: { document: Record<string, unknown> }) =>
      new Set((document as unknown as AttachDocument).steps.map(({ outcome }) => outcome));

    const planned = await bench.attach(TESTDEV, 'dev0', '--dry-run');
    expect(outcomes(planned)).toEqual(new Set(['planned']));
    expect(await bench.devices()).toEqual([]);
    const attached = await bench.attach(TESTDEV, 'dev0');
    expect(kinds(attached)).toEqual(kinds(planned));
    const [plan, done] = [planned, attached].map(
      ({ document }) => (document as unknown as AttachDocument).attachment.functions[0],
    );
    expect(plan).toMatchObject({ id: 'dev0', port: done?.port });

    const removal = await bench.detach('dev0', '--dry-run');
    expect(outcomes(removal)).toEqual(new Set(['planned']));
    expect(removal.document.removals).toEqual([{ id: 'dev0', state: 'planned', ms: 0 }]);
    expect(await bench.devices()).toEqual(['dev0']);
    expect(kinds(await bench.detach('dev0'))).toEqual(kinds(removal));
    expect(await bench.detach('dev0', '--dry-run')).toMatchObject({
      status: 0,
      document: { removals: [{ id: 'dev0', state: 'released' }], steps: [] },
    });
  });

  it('refuses in a dry run what it would refuse to run', async () => {
    const args = ['{"driver":"no-such-device"}', 'dev0'] as const;
    const [dry, wet] = [await bench.attach(...args, '--dry-run'), await bench.attach(...args)];
    expect(wet).toMatchObject({
      status: 2,
      document: { error: { code: 'PROPERTY_NOT_ALLOWED', undone: [] } },
    });
    expect(dry).toEqual(wet);
  });

  it('names the port that is occupied, the ports there are, and what is in all of them', async () => {
    await bench.attach(TESTDEV, 'dev0');
    expect(await bench.attach(RNG, 'dev1', '--port', 'rp0')).toMatchObject(
      refusal('PORT_OCCUPIED', { message: expect.stringContaining('dev0') as unknown }),
    );
    expect(await bench.attach(RNG, 'dev1', '--port', 'rp9')).toMatchObject(
      refusal('NO_SUCH_PORT', { remedy: expect.stringContaining('rp0, rp1, rp2') as unknown }),
    );
    await bench.attach(RNG, 'dev1');
    await bench.attach(RNG, 'dev2');
    const full = await bench.attach(RNG, 'dev3');
    expect(full).toMatchObject(refusal('NO_FREE_PORT'));
    for (const id of ['dev0', 'dev1', 'dev2']) expect(JSON.stringify(full.document)).toContain(id);
    expect(await bench.devices()).toEqual(['dev0', 'dev1', 'dev2']);
  });

  it('refuses a device that the host does not have', async () => {
    const ran = await bench.home.json(['attach', bench.vm, 'ffff:ff:1f.7']);
    expect(ran).toMatchObject(refusal('NO_MATCH'));
  });

  it('calls a device that is not there released, and a text that names nothing a bad id', async () => {
    expect(await bench.detach('nobody')).toMatchObject({
      status: 0,
      document: { removals: [{ id: 'nobody', state: 'released' }], steps: [] },
    });
    expect(await bench.detach('ffff:ff:1f.7')).toMatchObject({ status: 0 });
    for (const dryRun of [[], ['--dry-run']]) {
      expect(await bench.detach('no+body', ...dryRun)).toMatchObject({
        status: 2,
        document: { error: { code: 'BAD_ID' } },
      });
    }
  });

  it('takes out what somebody else put in, and whatever shares its slot by permission alone', async () => {
    const add = (id: string, addr: string) =>
      bench.qemu.qmp.execute('device_add', {
        driver: 'pci-testdev',
        id,
        bus: 'rp1',
        addr,
        ...(addr === '0x0' ? { multifunction: true } : {}),
      });
    await add('theirs1', '0x0.1');
    await add('theirs0', '0x0');
    expect(await bench.detach('theirs0')).toMatchObject(
      refusal('SLOT_SHARED', {
        message: expect.stringContaining('theirs1') as unknown,
        remedy: expect.stringContaining('--allow slot-mates') as unknown,
      }),
    );
    expect(await bench.detach('theirs0', '--allow', 'slot-mates')).toMatchObject({
      status: 0,
      document: { removals: [{ id: 'theirs0' }, { id: 'theirs1' }] },
    });
    expect(await bench.devices()).toEqual([]);
  });

  it('leaves a device attached whose BARs nobody has placed, with status 5', async () => {
    const ran = await bench.attach(TESTDEV, 'dev0', '--wait', 'placed', '--timeout', '0.5');
    expect(ran).toMatchObject({
      status: 5,
      document: {
        attachment: { functions: [{ id: 'dev0', bars: [{ address: null }, { address: null }] }] },
        steps: [
          { kind: 'AddDevice', outcome: 'done' },
          { kind: 'AwaitGuest', outcome: 'waiting' },
        ],
      },
      stderr: expect.stringContaining('the device stays attached') as unknown,
    });
    expect(await bench.devices()).toEqual(['dev0']);
  });

  it('shows ports, attachments and removals, and the same tree as text and as JSON', async () => {
    await bench.attach(TESTDEV, 'dev0', '--port', 'rp1');
    const { document: status } = await bench.home.json(['status', bench.vm]);
    expect(Object.keys(status)).toEqual(['vm', 'ports', 'attachments', 'removals']);
    expect(status).toMatchObject({
      ports: [
        { id: 'rp0', state: 'free', mechanism: 'native', occupants: [] },
        { id: 'rp1', state: 'used', occupants: ['dev0'] },
        { id: 'rp2', state: 'free' },
      ],
      attachments: [{ group: null, functions: [{ id: 'dev0', port: 'rp1' }], missing: [] }],
      removals: [],
    });
    const text = await bench.home.run(['status', bench.vm]);
    expect(text.stdout).toMatch(/^rp1 +used +native +03 +dev0$/m);
    const tree = await bench.home.run(['topology', bench.vm]);
    expect(tree.stdout).toMatch(/rp1 pcie-root-port: .*\n.*└─ 00\.0 dev0 pci-testdev/);
    const { document: topology } = await bench.home.json(['topology', bench.vm]);
    expect(topology).toMatchObject({
      ports: status.ports,
      attachments: status.attachments,
      roots: [{ devices: [{ id: 'rp0' }, { id: 'rp1', children: [{ id: 'dev0' }] }, {}] }],
    });
    const format = await bench.home.run(['topology', bench.vm, '--format', 'json']);
    expect(JSON.parse(format.stdout)).toEqual(topology);
  });

  it('tells whoever finds the monitor held by another client, and does not hang', async () => {
    const foreign = await RawQmp.dial(bench.vm);
    try {
      const startedAt = performance.now();
      const ran = await bench.attach(TESTDEV, 'dev0', '--timeout', '1');
      expect(performance.now() - startedAt).toBeLessThan(10_000);
      expect(ran).toMatchObject(
        refusal('MONITOR_BUSY', { message: expect.stringContaining(bench.vm) as unknown }),
      );
    } finally {
      foreign.close();
    }
    expect(await bench.devices()).toEqual([]);
    expect(await bench.attach(TESTDEV, 'dev0')).toMatchObject({ status: 0 });
  });

  it('refuses where it may not keep its state, before anything is changed', async () => {
    const env = { QMPLUG_RUN_DIR: '/dev/null/run', QMPLUG_STATE_DIR: '/dev/null/state' };
    const args = ['--device', TESTDEV, '--id', 'dev0'];
    const commands = [
      ['attach', bench.vm, ...args],
      ['detach', bench.vm, 'dev0'],
      ['status', bench.vm],
    ];
    for (const command of [...commands, ['topology', bench.vm]]) {
      expect(await bench.home.json(command, { env })).toMatchObject(
        refusal('DENIED', { message: expect.stringContaining('/dev/null/') as unknown }),
      );
    }
    expect(await bench.devices()).toEqual([]);
  });

  it('says in text what it did', async () => {
    const attach = ['attach', bench.vm, '--device', TESTDEV, '--id', 'dev0'];
    const [first, again] = [await bench.home.run(attach), await bench.home.run(attach)];
    expect(first.stdout).toMatch(/^attached dev0 in rp0: 02\/00, 0000:01:00\.0\n {2}BAR 0: 4K /);
    expect(first.stdout).toMatch(/^ {2}AddDevice: done \(\d+\.\d ms\)$/m);
    expect(again.stdout).toMatch(/^already attached dev0 in rp0: /);
    const detach = ['detach', bench.vm, 'dev0'];
    expect((await bench.home.run([...detach, '--dry-run'])).stdout).toBe(
      'would detach dev0\n  RemoveDevice\n  AwaitRemoval\n  ForgetAttachment\n',
    );
    expect((await bench.home.run(detach)).stdout).toMatch(/^dev0: unplugged \(\d+ ms\)\n/);
    expect((await bench.home.run(detach)).stdout).toBe('dev0: not in the VM\n');
  });

  it('is one machine by either of its monitors', async () => {
    await bench.attach(TESTDEV, 'dev0');
    const { document } = await bench.home.json(['status', bench.qemu.otherQmpPath]);
    expect(document.attachments).toMatchObject([{ functions: [{ id: 'dev0' }] }]);
  });

  it('does nothing for someone who has given up before it begins', async () => {
    const ran = await bench.home.json(['attach', bench.vm, '--device', TESTDEV, '--id', 'dev0'], {
      signal: AbortSignal.abort(new Error('SIGINT')),
    });
    expect(ran).toMatchObject(refusal('ABORTED'));
    expect(await bench.devices()).toEqual([]);
  });
});

describe('a machine whose guest never answers an unplug', () => {
  it('says pending with status 5, keeps the port, and joins the removal after a reset', async () => {
    await using bench = await Bench.start('acpi');
    await bench.attach(TESTDEV, 'dev0');
    const pending = await bench.detach('dev0', '--timeout', '0.5');
    expect(pending).toMatchObject({
      status: 5,
      document: {
        removals: [{ id: 'dev0', state: 'pending' }],
        steps: [
          { kind: 'RemoveDevice', outcome: 'done' },
          { kind: 'AwaitRemoval', outcome: 'waiting' },
          { kind: 'ForgetAttachment', outcome: 'untouched' },
        ],
      },
      stderr: expect.stringContaining('nothing was freed yet') as unknown,
    });
    expect(await bench.home.json(['status', bench.vm])).toMatchObject({
      status: 0,
      document: {
        ports: [{ id: 'rp0', state: 'pending', occupants: ['dev0'] }, {}, {}],
        removals: [{ id: 'dev0', state: 'pending' }],
      },
    });
    expect(await bench.attach(TESTDEV, 'dev0')).toMatchObject(refusal('STILL_PENDING'));
    expect(await bench.portOf(bench.attach(RNG, 'dev1'))).toBe('rp1');
    expect(await bench.home.json(['recover', bench.vm])).toMatchObject({
      status: 5,
      document: { open: [{ kind: 'detach', ids: ['dev0'], outcome: 'waiting' }] },
    });

    await bench.qemu.qmp.execute('system_reset');
    expect(await bench.detach('dev0')).toMatchObject({
      status: 0,
      // Whether it was finished by this command or just before it.
      document: {
        removals: [
          { id: 'dev0', state: expect.stringMatching(/^(unplugged|released)$/) as unknown },
        ],
      },
    });
    expect(await bench.devices()).toEqual(['dev1']);
    // Nobody has numbered the buses of a machine that was just reset, and it has no guest to speak of.
    expect(await bench.portOf(bench.attach(TESTDEV, 'dev0'), /^(qmplug: .*dev0.*\n)*$/)).toBe(
      'rp0',
    );
  });

  it('ends with 0 once the guest was asked, where nobody wants to wait', async () => {
    await using bench = await Bench.start('acpi');
    await bench.attach(TESTDEV, 'dev0');
    expect(await bench.detach('dev0', '--no-wait')).toMatchObject({
      status: 0,
      document: { removals: [{ id: 'dev0', state: 'requested' }] },
      stderr: expect.stringContaining('nothing was freed yet') as unknown,
    });
    expect(await bench.devices()).toEqual(['dev0']);
  });

  it('stops waiting when it is told to, and says what is pending', async () => {
    await using bench = await Bench.start('acpi');
    await bench.attach(TESTDEV, 'dev0');
    const stop = new AbortController();
    const startedAt = performance.now();
    const ran = await bench.home.json(['detach', bench.vm, 'dev0', '--timeout', '100'], {
      signal: stop.signal,
      terminal: true,
      onStderr: (text) => {
        if (text.includes('AwaitRemoval')) stop.abort(new Error('SIGINT'));
      },
    });
    expect(ran).toMatchObject({
      status: 5,
      document: { removals: [{ id: 'dev0', state: 'pending' }] },
      stderr: expect.stringContaining('nothing was freed yet') as unknown,
    });
    expect(performance.now() - startedAt).toBeLessThan(50_000);
    expect(await bench.devices()).toEqual(['dev0']);
  });

  it('names a VM that has gone, and gives back what it held on recover', async () => {
    await using bench = await Bench.start('acpi');
    await bench.attach(TESTDEV, 'dev0');
    await bench.detach('dev0', '--no-wait');
    await bench.qemu.kill();
    for (const command of [
      ['status', bench.vm],
      ['detach', bench.vm, 'dev0'],
      ['topology', bench.vm],
    ]) {
      expect(await bench.home.json(command)).toMatchObject(
        refusal('CONNECT_FAILED', {
          message: expect.stringContaining(bench.vm) as unknown,
          remedy: expect.stringContaining('qmplug recover') as unknown,
        }),
      );
    }
    const recovered = await bench.home.json(['recover', bench.vm]);
    expect(recovered).toMatchObject({
      status: 0,
      document: { finished: [{ kind: 'detach', ids: ['dev0'], outcome: 'done' }], open: [] },
    });
    expect(await bench.home.json(['recover'])).toEqual({
      status: 0,
      document: { finished: [], undone: [], open: [] },
      stderr: '',
    });
  });
});
