import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect, createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JsonObject } from '../../src/json.js';
import {
  childType,
  connectQmp,
  connectTransport,
  cont,
  deviceAdd,
  deviceDel,
  deviceListProperties,
  DRIVER_RULES,
  EventSubscription,
  JsonFramer,
  openWindow,
  qomGetDevfn,
  qomGetString,
  qomGetUint64,
  qomList,
  queryCommands,
  queryMachines,
  queryMemorySizeSummary,
  queryName,
  queryPci,
  queryQmpSchema,
  queryStatus,
  queryTarget,
  queryUuid,
  queryVersion,
  stop,
  systemReset,
  type CommandError,
  type QmpClient,
  ALLOWED_COMMANDS,
} from '../../src/qmp/index.js';
import { wsBridge } from '../qmp/ws-bridge.js';
import { eventually } from '../support/eventually.js';

const PERIPHERAL = '/machine/peripheral';

/** One paused q35 with three monitors: one for each test, one pretty, one to be fought over. */
let folder: string;
let qemu: ChildProcess;
const socket = (name: string) => join(folder, `${name}.sock`);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'qmplug-'));
  const monitor = (name: string, pretty: string) => [
    '-chardev',
    `socket,id=${name},path=${socket(name)},server=on,wait=off`,
    '-mon',
    `chardev=${name},mode=control,pretty=${pretty}`,
  ];
  const rootPort = (n: number) => [
    '-device',
    `pcie-root-port,id=rp${n},bus=pcie.0,chassis=${n + 1},slot=${n + 1},addr=${n + 2}.0`,
  ];
  const args = [
    ['-machine', 'q35,accel=tcg', '-m', '64', '-nodefaults', '-display', 'none', '-S'],
    ['-name', 'client under test'],
    monitor('main', 'off'),
    monitor('pretty', 'on'),
    monitor('contended', 'off'),
    ...[0, 1, 2, 3].map(rootPort),
  ];
  qemu = spawn('qemu-system-x86_64', args.flat(), { stdio: ['ignore', 'ignore', 'inherit'] });
  await eventually(() => access(socket('contended')));
});

afterAll(async () => {
  if (qemu.exitCode === null && qemu.signalCode === null) {
    qemu.kill('SIGKILL');
    await once(qemu, 'exit');
  }
  await rm(folder, { recursive: true, force: true });
});

const open = () => connectQmp(socket('main'));
const testdev = (id: string, port: string): { driver: string; id: string } & JsonObject => ({
  driver: 'pci-testdev',
  id,
  bus: port,
  addr: '0x0',
});
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A QEMU whose only monitor is a WebSocket of its own. */
async function startWebSocketMonitor(port: number): Promise<{ end(): Promise<void> }> {
  const chardev = `socket,id=m,host=127.0.0.1,port=${port},server=on,wait=off,websocket=on`;
  const args = ['-machine', 'none', '-nodefaults', '-display', 'none', '-chardev', chardev];
  const child = spawn('qemu-system-x86_64', [...args, '-mon', 'chardev=m,mode=control'], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const exited = once(child, 'exit');
  const listens = () => listening(port);
  await eventually(listens);
  return {
    end: async () => {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

/** Looks without connecting: this monitor serves one client in its life. */
async function listening(port: number): Promise<void> {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  expect(await readFile('/proc/net/tcp', 'utf8')).toContain(`0100007F:${hex} 00000000:0000 0A`);
}

/** Under -S nothing answers an ACPI unplug but a reset, which completes it. */
async function unplug(session: QmpClient, id: string): Promise<void> {
  using events = new EventSubscription(session, {
    filter: ({ event, data }) => event === 'DEVICE_DELETED' && data.device === id,
  });
  await deviceDel(session, id);
  await systemReset(session);
  await events.next();
}

describe('the client on a real QEMU', () => {
  it('reads what QEMU says about itself', async () => {
    await using session = await open();
    expect(session.version).toEqual(await queryVersion(session));
    expect(await queryStatus(session)).toMatchObject({ status: 'prelaunch', running: false });
    expect(await queryTarget(session)).toBe('x86_64');
    expect(await queryName(session)).toBe('client under test');
    expect(await queryUuid(session)).toBeUndefined();
    expect(await queryMemorySizeSummary(session)).toMatchObject({ baseBytes: 64n * 1024n * 1024n });
    expect((await queryMachines(session)).find(({ alias }) => alias === 'q35')).toBeDefined();
    expect(await qomGetString(session, '/machine', 'type')).toMatch(/^pc-q35-.*-machine$/);
    expect(session.stats).toEqual({ unknownReplyCount: 0, lateReplyCount: 0 });
  });

  it('reads a schema of 200 KB, and the same from a pretty monitor', async () => {
    await using plain = await open();
    await using pretty = await connectQmp(socket('pretty'));
    const [one, other] = await Promise.all([queryQmpSchema(plain), queryQmpSchema(pretty)]);
    expect(one.length).toBeGreaterThan(1_000);
    expect(JSON.stringify(one).length).toBeGreaterThan(150_000);
    expect(other).toEqual(one);
    expect(await queryPci(pretty)).toEqual(await queryPci(plain));
  });

  it('is reached through a WebSocket bridge, a reply of 200 KB included', async () => {
    await using bridge = await wsBridge(socket('main'));
    await using session = await connectQmp(bridge.url);
    expect(JSON.stringify(await queryQmpSchema(session)).length).toBeGreaterThan(150_000);
    expect(await queryTarget(session)).toBe('x86_64');
  });

  it('says what to do where QEMU leaves the commands of its own WebSocket lying', async () => {
    const port = await freePort();
    const websocket = await startWebSocketMonitor(port);
    try {
      const error: unknown = await connectQmp(`ws://127.0.0.1:${port}/`, {
        negotiationDeadlineMs: 1_000,
      }).catch((reason: unknown) => reason);
      expect(error).toMatchObject({
        code: 'NEGOTIATION_FAILED',
        remedy: expect.stringContaining('bridge') as string,
      });
    } finally {
      await websocket.end();
    }
  });

  it('pipelines, and every answer finds its caller', async () => {
    await using session = await open();
    const paths = ['rp0', 'rp1', 'rp2', 'rp3'];
    const rounds = Array.from({ length: 100 }, (_, n) => paths[n % 4] ?? '');
    const slots = await Promise.all(
      rounds.map((id) => qomGetDevfn(session, `${PERIPHERAL}/${id}`)),
    );
    expect(slots).toEqual(rounds.map((id) => (Number(id.slice(2)) + 2) * 8));
    expect(session.stats.unknownReplyCount).toBe(0);
  });

  it('adds, finds and removes a device with a BAR of 128 GiB', async () => {
    await using session = await open();
    // Sent together: the reads wait in QEMU, not here.
    const [, children, devfn] = await Promise.all([
      deviceAdd(session, { ...testdev('big', 'rp0'), membar: 2n ** 37n }),
      qomList(session, PERIPHERAL),
      qomGetDevfn(session, `${PERIPHERAL}/big`),
    ]);
    expect(children.find(({ name }) => name === 'big')).toMatchObject({
      type: 'child<pci-testdev>',
    });
    expect(childType(children[0] ?? { name: '', type: '', defaultValue: undefined })).not.toBe('');
    expect(devfn).toBe(0);
    expect(await qomGetUint64(session, `${PERIPHERAL}/big`, 'membar')).toBe(2n ** 37n);
    await unplug(session, 'big');
    expect((await qomList(session, PERIPHERAL)).map(({ name }) => name)).not.toContain('big');
  });

  it('reads 64-bit numbers unrounded', async () => {
    await using session = await open();
    const unset = await qomGetUint64(session, `${PERIPHERAL}/rp0`, 'pref64-reserve');
    expect(unset).toBe(2n ** 64n - 1n);
  });

  it('sees ports before the firmware has numbered them', async () => {
    await using session = await open();
    const [root] = await queryPci(session);
    const port = root?.devices.find(({ qdevId }) => qdevId === 'rp3');
    expect(port).toMatchObject({ slot: 5, function: 0, classCode: 0x0604 });
    expect(port?.bridge).toMatchObject({ secondaryBus: 0, devices: undefined });
    expect(port?.bridge && openWindow(port.bridge.ioRange)).toBeUndefined();
  });

  it('hears events in order', async () => {
    await using session = await open();
    using events = new EventSubscription(session, {
      filter: ({ event }) => event === 'STOP' || event === 'RESUME',
    });
    await cont(session);
    await stop(session);
    const names = [await events.next(), await events.next()].map(({ value }) =>
      value?.kind === 'event' ? value.event.event : value,
    );
    expect(names).toEqual(['RESUME', 'STOP']);
  });

  it('speaks through a command', async () => {
    await using session = await connectQmp({
      kind: 'exec',
      command: ['socat', '-', `UNIX-CONNECT:${socket('main')}`],
    });
    expect(await queryName(session)).toBe('client under test');
  });
});

describe('failures of a real QEMU', () => {
  const failureOf = (promise: Promise<unknown>) =>
    promise.then(
      () => 'succeeded',
      (error: unknown) => (error as CommandError).failure.kind,
    );

  it('are told apart', async () => {
    await using session = await open();
    await deviceAdd(session, testdev('d0', 'rp1'));
    const kinds = {
      taken: await failureOf(deviceAdd(session, testdev('d0', 'rp2'))),
      occupied: await failureOf(deviceAdd(session, testdev('d1', 'rp1'))),
      nowhere: await failureOf(deviceAdd(session, testdev('d1', 'rp9'))),
      fixed: await failureOf(deviceAdd(session, testdev('d1', 'pcie.0'))),
      gone: await failureOf(deviceDel(session, 'd9')),
      path: await failureOf(qomList(session, `${PERIPHERAL}/d9`)),
      type: await failureOf(deviceListProperties(session, 'no-such-type')),
      host: await failureOf(
        deviceAdd(session, { ...testdev('v0', 'rp2'), driver: 'vfio-pci', host: 'ffff:ff:1f.7' }),
      ),
      zpci: await failureOf(deviceAdd(session, { driver: 'zpci', id: 'z0', target: 'v0' })),
    };
    expect(kinds).toEqual({
      taken: 'duplicate-id',
      occupied: 'slot-occupied',
      nowhere: 'bus-not-found',
      fixed: 'not-hotpluggable',
      gone: 'device-not-found',
      path: 'path-not-found',
      type: 'type-not-found',
      host: 'no-host-device',
      zpci: 'type-not-found',
    });
    await unplug(session, 'd0');
  });
});

describe('a monitor', () => {
  it('that another client holds is busy, and free again when that one leaves', async () => {
    const first = await connectQmp(socket('contended'));
    const second = connectQmp(socket('contended'), { greetingDeadlineMs: 300 });
    await expect(second).rejects.toMatchObject({ name: 'ConnectError', code: 'MONITOR_BUSY' });
    expect(await queryName(first)).toBe('client under test');
    await first.close();
    await using third = await connectQmp(socket('contended'));
    expect(await queryName(third)).toBe('client under test');
  });

  it('is had right behind a client that left in the middle of its commands, whose replies QEMU sends on', async () => {
    for (let round = 0; round < 600; round += 1) {
      const leaving = await open();
      const asked = Array.from({ length: 4 }, () => queryPci(leaving).catch(() => undefined));
      // Each time at another moment of the commands, which take a millisecond each.
      const leavesAt = performance.now() + (round % 50) / 10;
      while (performance.now() < leavesAt) await new Promise(setImmediate);
      void leaving.close();
      const session = await open();
      expect(await queryStatus(session)).toMatchObject({ running: false });
      await Promise.all([session.close(), ...asked]);
    }
  });

  it('whose queue of clients is full is busy at once', async () => {
    const first = await connectQmp(socket('contended'));
    // The kernel queues two more; the one after that is turned away.
    const queued = [connect(socket('contended')), connect(socket('contended'))];
    await Promise.all(queued.map((client) => once(client, 'connect')));
    await expect(connectTransport(socket('contended'))).rejects.toMatchObject({
      code: 'MONITOR_BUSY',
      cause: { code: 'EAGAIN' },
    });
    for (const client of queued) client.destroy();
    await first.close();
  });

  it('cuts its output where it likes', async () => {
    const transport = await connectTransport(socket('pretty'));
    const messages: string[] = [];
    const framer = new JsonFramer((text) => messages.push(text));
    let chunkCount = 0;
    transport.start({
      onData: (data) => {
        chunkCount += 1;
        framer.push(data);
      },
      onClose: () => undefined,
    });
    await transport.send(
      Buffer.from('{"execute":"qmp_capabilities"}{"execute":"query-qmp-schema"}'),
    );
    await eventually(() => {
      expect(messages).toHaveLength(3);
    });
    expect(chunkCount).toBeGreaterThan(3);
    expect(messages[2]?.split('\n').length).toBeGreaterThan(1_000);
    transport.close();
  });
});

describe('the allow-list', () => {
  /** Properties that came after QEMU 7.2, or left after it. */
  const VERSIONED = new Set([
    'enable-migration',
    'x-enable-migration',
    'migration-events',
    'vf-token',
    'fd',
    'iommufd',
  ]);

  it('names commands and properties that QEMU knows', async () => {
    await using session = await open();
    const known = await queryCommands(session);
    const later = new Set(['qom-list-get', 'device-sync-config']);
    const unknown = Object.keys(ALLOWED_COMMANDS).filter((name) => !known.has(name));
    expect(unknown.filter((name) => !later.has(name))).toEqual([]);

    const wrong: string[] = [];
    let checkedCount = 0;
    for (const [driver, rule] of DRIVER_RULES) {
      if (!rule.isPci) continue;
      const properties = await deviceListProperties(session, driver).catch(() => undefined);
      if (!properties) continue;
      checkedCount += 1;
      for (const name of Object.keys(rule.properties)) {
        const isKnown = name === 'bus' || VERSIONED.has(name) || properties.has(name);
        if (!isKnown) wrong.push(`${driver}.${name}`);
      }
    }
    expect(checkedCount).toBeGreaterThan(20);
    expect(wrong).toEqual([]);
  });
});

describe('the death of QEMU', () => {
  it('ends the session and says so to whoever waits', async () => {
    const session = await open();
    qemu.kill('SIGSTOP');
    const waiting = queryStatus(session).catch((error: unknown) => error);
    // Its sockets go one by one; only a process that has gone refuses for certain.
    const exited = once(qemu, 'exit');
    qemu.kill('SIGKILL');
    expect(await waiting).toMatchObject({ name: 'DisconnectedError', code: 'DISCONNECTED' });
    expect(await session.closed).toMatchObject({ code: 'DISCONNECTED' });
    await exited;
    await expect(connectQmp(socket('main'))).rejects.toMatchObject({
      code: 'CONNECT_FAILED',
      details: { errno: 'ECONNREFUSED' },
    });
  });
});
