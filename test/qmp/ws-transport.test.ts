import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { connectQmp } from '../../src/qmp/connect.js';
import { connectTransport } from '../../src/qmp/connect-transport.js';
import { FakeClock } from './fake-clock.js';
import { GREETING } from './memory-peer.js';
import { scriptedServer, temporaryFolder } from './scripted-server.js';
import { wsBridge, wsServer } from './ws-bridge.js';
import { eventually } from '../support/eventually.js';

/** What came over a transport until its end. */
function heardOn(transport: Awaited<ReturnType<typeof connectTransport>>) {
  const heard = { text: '', ends: [] as (Error | undefined)[] };
  transport.start({
    onData: (data) => {
      expect(heard.ends).toEqual([]);
      heard.text += Buffer.from(data).toString();
    },
    onClose: (reason) => {
      heard.ends.push(reason);
    },
  });
  return heard;
}

/** A TCP listener that takes connections and never answers. */
async function muteListener() {
  const server = createServer((socket) => {
    socket.resume();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `ws://127.0.0.1:${port}/`,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => {
          resolve();
        });
      }),
  };
}

describe('a WebSocket', () => {
  it('carries a session through a bridge', async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, 'vm.sock');
    await using server = await scriptedServer({ path });
    await using bridge = await wsBridge(path);
    await using session = await connectQmp(bridge.url);
    expect(session.address).toBe(bridge.url);
    expect(await session.execute('query-status')).toEqual({ ran: 'query-status' });
    expect(server.requests.map((request) => request.execute)).toEqual([
      'qmp_capabilities',
      'query-status',
    ]);
  });

  it('may cut the stream anywhere, in frames of text or bytes', async () => {
    await using bridge = await wsServer((client) => {
      for (const character of GREETING) client.send(character);
      client.on('message', (data: Buffer) => {
        const { id } = JSON.parse(data.toString()) as { id: number };
        client.send(Buffer.from(`{"return":{},"id":${id}}\r\n{"ev`));
        client.send('ent":"RESUME","timestamp":{"seconds":1,"microseconds":2}}\r\n');
      });
    });
    await using session = await connectQmp(bridge.url);
    expect(await session.execute('query-status')).toEqual({});
  });

  it('keeps what comes before somebody listens, and tells its end', async () => {
    await using bridge = await wsServer((client) => {
      client.send('x'.repeat(300_000));
      client.close();
    });
    const transport = await connectTransport(bridge.url);
    const heard = heardOn(transport);
    await eventually(() => {
      expect(heard).toEqual({ text: 'x'.repeat(300_000), ends: [undefined] });
    });
    await expect(transport.send(Buffer.from('x'))).rejects.toThrow();
  });

  it('tells why the other end closed it', async () => {
    await using bridge = await wsServer((client) => {
      client.close(1011, 'the monitor is held\u001b[2J');
    });
    const heard = heardOn(await connectTransport(bridge.url));
    await eventually(() => {
      expect(heard.ends).toHaveLength(1);
    });
    expect(heard.ends[0]?.message).toBe(
      'the WebSocket was closed with 1011: the monitor is held\\x1b[2J',
    );
  });

  it('ends once, by our own hand too', async () => {
    await using bridge = await wsServer(() => undefined);
    const transport = await connectTransport(bridge.url);
    const heard = heardOn(transport);
    transport.close();
    transport.close();
    await eventually(() => {
      expect(heard.ends).toHaveLength(1);
      expect(bridge.clients.size).toBe(0);
    });
  });

  it('that nobody serves, that is no WebSocket or that stays mute is refused', async () => {
    const clock = new FakeClock();
    await using mute = await muteListener();
    const waiting = connectTransport(mute.url, { clock, deadlineMs: 700 }).catch(
      (error: unknown) => error,
    );
    await eventually(() => {
      expect(clock.pendingCount).toBe(1);
    });
    await clock.advance(700);
    expect(await waiting).toMatchObject({
      code: 'CONNECT_FAILED',
      message: `${mute.url}: no connection within 700 ms`,
    });

    await using plain = await scriptedServer({ host: '127.0.0.1', port: 0 }, (socket) => {
      socket.end(GREETING);
    });
    const { port } = plain.server.address() as AddressInfo;
    for (const url of [`ws://127.0.0.1:${port}/`, 'ws://127.0.0.1:1/']) {
      await expect(connectTransport(url)).rejects.toMatchObject({
        code: 'CONNECT_FAILED',
        remedy: expect.stringContaining('bridge') as string,
        details: { address: url },
      });
    }
  });

  it('can be given up before it is open', async () => {
    await using mute = await muteListener();
    const stop = new AbortController();
    const connecting = connectTransport(mute.url, { signal: stop.signal });
    stop.abort(new Error('enough'));
    await expect(connecting).rejects.toMatchObject({ code: 'ABORTED' });
    await expect(connectTransport(mute.url, { signal: stop.signal })).rejects.toMatchObject({
      code: 'ABORTED',
    });
  });

  it('has no password in its address: addresses are printed', async () => {
    const error: unknown = await connectTransport('ws://user:secret@127.0.0.1:1/').catch(
      (reason: unknown) => reason,
    );
    expect(error).toMatchObject({ code: 'BAD_ADDRESS' });
    expect(String(error)).not.toContain('secret');
  });
});
