import { access, unlink, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { silentLogger } from '../../src/logger.js';
import { connectQmp } from '../../src/qmp/connect.js';
import { connectTransport } from '../../src/qmp/connect-transport.js';
import type { QmpTransport } from '../../src/qmp/transport.js';
import { FakeClock } from './fake-clock.js';
import { GREETING } from './memory-peer.js';
import { scriptedServer, temporaryFolder } from './scripted-server.js';
import { eventually } from '../support/eventually.js';

interface Heard {
  text: string;
  closed: boolean;
  reason: Error | undefined;
}

function listen(transport: QmpTransport): Heard {
  const heard: Heard = { text: '', closed: false, reason: undefined };
  transport.start({
    onData: (data) => {
      expect(heard.closed).toBe(false);
      heard.text += Buffer.from(data).toString();
    },
    onClose: (reason) => {
      expect(heard.closed).toBe(false);
      heard.closed = true;
      heard.reason = reason;
    },
  });
  return heard;
}

const refusal = (code: string): unknown => expect.objectContaining({ code });
const closedOf = (heard: Heard) =>
  eventually(() => {
    expect(heard.closed).toBe(true);
  });

/** A QMP server in shell: greets, answers two requests, prints to stderr. */
const SHELL_SERVER = `printf '%s' '${GREETING.trim()}'; echo one >&2; echo two >&2
read line; printf '{"return":{},"id":1}'; read line; printf '{"return":"%s","id":2}' "$1"; cat >/dev/null`;

describe('a unix socket', () => {
  it('carries a session', async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, 'vm.sock');
    await using server = await scriptedServer({ path });
    await using session = await connectQmp(path);
    expect(session.address).toBe(`unix:${path}`);
    expect(await session.execute('query-status')).toEqual({ ran: 'query-status' });
    expect(server.requests.map((request) => request.execute)).toEqual([
      'qmp_capabilities',
      'query-status',
    ]);
  });

  it('delivers the last bytes before the end, also when both came before the start', async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, 'vm.sock');
    await using server = await scriptedServer({ path }, (socket) =>
      socket.end('x'.repeat(300_000)),
    );
    const transport = await connectTransport(path);
    await eventually(() => {
      expect(server.sockets).toHaveLength(1);
    });
    const heard = listen(transport);
    await closedOf(heard);
    expect(heard).toEqual({ text: 'x'.repeat(300_000), closed: true, reason: undefined });
    await expect(transport.send(Buffer.from('x'))).rejects.toThrow();
  });

  it('that does not exist is told from one that nobody serves', async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, 'vm.sock');
    await expect(connectTransport(path)).rejects.toMatchObject({
      code: 'CONNECT_FAILED',
      message: expect.stringContaining('no such socket') as string,
      remedy: expect.stringContaining('-qmp unix:') as string,
    });
    // Connecting to a plain file is refused just like a dead socket.
    await writeFile(path, '');
    const clock = new FakeClock();
    const failed = connectTransport(path, { clock }).catch((error: unknown) => error);
    const stop = new AbortController();
    void keepAdvancing(clock, stop.signal);
    expect(await failed).toMatchObject({
      code: 'CONNECT_FAILED',
      details: { errno: 'ECONNREFUSED' },
    });
    stop.abort();
    expect(clock.now()).toBeLessThanOrEqual(1_000);
  });

  it('that has only just appeared is tried again', async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, 'vm.sock');
    await writeFile(path, '');
    const clock = new FakeClock();
    const connecting = connectTransport(path, { clock });
    const sawPause = vi.spyOn(clock, 'after');
    await eventually(() => {
      expect(sawPause).toHaveBeenCalledWith(5, expect.anything());
    });
    await unlink(path);
    await using server = await scriptedServer({ path });
    await clock.advance(5);
    const transport = await connecting;
    expect(server.server.listening).toBe(true);
    expect(clock.pendingCount).toBe(0);
    transport.close();
  });

  it('can be given up, before and while it is tried again', async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, 'vm.sock');
    await writeFile(path, '');
    await expect(connectTransport(path, { signal: AbortSignal.abort() })).rejects.toThrow(
      refusal('ABORTED'),
    );
    const clock = new FakeClock();
    const controller = new AbortController();
    const sawPause = vi.spyOn(clock, 'after');
    const failed = expect(
      connectTransport(path, { clock, signal: controller.signal }),
    ).rejects.toThrow(refusal('ABORTED'));
    await eventually(() => {
      expect(sawPause).toHaveBeenCalledWith(5, expect.anything());
    });
    controller.abort();
    await failed;
    expect(clock.pendingCount).toBe(0);
  });

  it('with a path of more than 107 bytes is bad input', async () => {
    const path = `/tmp/${'x'.repeat(103)}`;
    await expect(connectTransport(path)).rejects.toMatchObject({
      name: 'InputError',
      code: 'BAD_ADDRESS',
    });
    await expect(connectTransport({ kind: 'unix', path })).rejects.toThrow(refusal('BAD_ADDRESS'));
  });
});

describe('TCP', () => {
  it('carries a session, and reports a reset with its reason', async () => {
    await using server = await scriptedServer({ host: '127.0.0.1', port: 0 });
    const { port } = server.server.address() as AddressInfo;
    const session = await connectQmp(`tcp:127.0.0.1:${port}`);
    expect(await session.execute('query-name')).toEqual({ ran: 'query-name' });
    server.sockets[0]?.resetAndDestroy();
    expect(await session.closed).toMatchObject({
      code: 'DISCONNECTED',
      cause: { code: 'ECONNRESET' },
    });
  });

  it('says when nobody listens', async () => {
    const server = await scriptedServer({ host: '127.0.0.1', port: 0 });
    const { port } = server.server.address() as AddressInfo;
    await server[Symbol.asyncDispose]();
    await expect(connectTransport(`tcp:127.0.0.1:${port}`)).rejects.toMatchObject({
      name: 'ConnectError',
      code: 'CONNECT_FAILED',
      message: expect.stringContaining('nobody listens') as string,
    });
  });

  it('stops trying at the deadline', async () => {
    await using server = await scriptedServer({ host: '127.0.0.1', port: 0 });
    const { port } = server.server.address() as AddressInfo;
    // A clock that is always late: the deadline passes before the kernel can answer.
    const clock = {
      now: () => 0,
      after: (_: number, callback: () => void) => {
        queueMicrotask(callback);
        return () => undefined;
      },
    };
    await expect(connectTransport(`tcp:127.0.0.1:${port}`, { clock })).rejects.toMatchObject({
      code: 'CONNECT_FAILED',
      message: expect.stringContaining('5000 ms') as string,
    });
  });
});

describe('a command', () => {
  it('carries a session; its words reach it as they are and its stderr the logger', async () => {
    const warn = vi.fn();
    const command = ['sh', '-c', SHELL_SERVER, 'sh', 'a  $HOME "b"'.replaceAll('"', '')] as const;
    const session = await connectQmp(
      { kind: 'exec', command: [...command] },
      { logger: { ...silentLogger, warn } },
    );
    expect(await session.execute('query-status')).toBe('a  $HOME b');
    expect(warn.mock.calls.map(([details]) => (details as { line: string }).line)).toEqual([
      'one',
      'two',
    ]);
    await session.close();
    expect(await session.closed).toBeUndefined();
  });

  it('that cannot be run fails at once', async () => {
    await expect(connectTransport('exec:/nonexistent/program')).rejects.toMatchObject({
      name: 'ConnectError',
      code: 'CONNECT_FAILED',
      details: { errno: 'ENOENT' },
    });
  });

  it('that ends before its greeting is quoted', async () => {
    const failed = connectQmp("exec:sh -c 'echo first >&2; echo host unreachable >&2; exit 255'");
    await expect(failed).rejects.toMatchObject({
      code: 'NO_GREETING',
      cause: {
        message: expect.stringMatching(/status 255: host unreachable$/) as string,
        details: { status: 255 },
      },
    });
  });

  it('that ends is quoted with what it said last, however late that is read', async () => {
    // Writes once its parent has been waited for, which is when we hear of the end.
    const late = '(while kill -0 $$ 2>/dev/null; do :; done; echo host unreachable >&2) >&- &';
    const failed = connectQmp(
      { kind: 'exec', command: ['sh', '-c', `${late} exit 255`] },
      { clock: new FakeClock() },
    );
    await expect(failed).rejects.toMatchObject({
      code: 'NO_GREETING',
      cause: { message: expect.stringMatching(/status 255: host unreachable$/) as string },
    });
  });

  it('that ends is not waited for where something else keeps its stderr', async () => {
    const clock = new FakeClock();
    const command = ['sh', '-c', 'sleep 600 >&- & echo $! $$; exit 3'] as const;
    const heard = listen(
      await connectTransport({ kind: 'exec', command: [...command] }, { clock }),
    );
    const pids = () => /^(\d+) (\d+)\n$/.exec(heard.text)?.slice(1).map(Number);
    await eventually(() => {
      const [, shell = 0] = pids() ?? [];
      expect(shell).toBeGreaterThan(1);
      // Gone once it has been waited for, which is when we hear of its end.
      expect(() => process.kill(shell, 0)).toThrow('ESRCH');
    });
    await clock.advance(500);
    await closedOf(heard);
    const [keeper = 0] = pids() ?? [];
    process.kill(keeper);
    expect(heard.reason?.message).toMatch(/status 3$/);
  });

  it('cannot flood the logger', async () => {
    const warn = vi.fn();
    const command = "exec:sh -c 'yes xxxxxxxxxxxxxxxx | head -c 1000000 >&2'";
    const heard = listen(await connectTransport(command, { logger: { ...silentLogger, warn } }));
    await closedOf(heard);
    expect(heard.reason).toBeUndefined();
    const lines = warn.mock.calls.length;
    expect(lines).toBeLessThan(1_100);
    expect(warn.mock.calls.at(-1)?.[1]).toContain('dropped');
  });

  it('is ended with the session: end of stdin, SIGTERM, SIGKILL', async () => {
    await using folder = await temporaryFolder();
    const politely = join(folder.path, 'politely');
    const quick = listenAndClose(await connectTransport(`exec:sh -c 'cat; : > ${politely}'`));
    await closedOf(quick.heard);
    await access(politely);

    const clock = new FakeClock();
    const stubborn = `exec:sh -c "trap '' TERM; printf up; exec sleep 600"`;
    const transport = await connectTransport(stubborn, { clock });
    const heard = listen(transport);
    await eventually(() => {
      expect(heard.text).toBe('up');
    });
    transport.close();
    transport.close();
    await clock.advance(500);
    expect(heard.closed).toBe(false);
    await clock.advance(500);
    await closedOf(heard);
    expect(heard.reason).toBeUndefined();
    expect(clock.pendingCount).toBe(0);
  });
});

function listenAndClose(transport: QmpTransport): { readonly heard: Heard } {
  const heard = listen(transport);
  transport.close();
  return { heard };
}

/** Moves the clock on whenever something waits for it. */
async function keepAdvancing(clock: FakeClock, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await new Promise((resolve) => setImmediate(resolve));
    // Only the pauses: a connect that is under way has 5,000 ms.
    if (clock.nextDelayMs < 1_000) await clock.advance(clock.nextDelayMs);
  }
}
