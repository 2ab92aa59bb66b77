import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type ListenOptions, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { JsonFramer } from '../../src/qmp/framer.js';
import { GREETING, type Request } from './memory-peer.js';

/** A folder of the test's own, with a path short enough for sockets. */
export async function temporaryFolder(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'qmplug-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

export interface ScriptedServer extends AsyncDisposable {
  readonly server: Server;
  readonly sockets: Socket[];
  readonly requests: Request[];
}

/** A small QMP server on a real socket: greets, and answers each request with its own name. */
export async function scriptedServer(
  where: ListenOptions,
  onConnection?: (socket: Socket) => void,
): Promise<ScriptedServer> {
  const sockets: Socket[] = [];
  const requests: Request[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    if (onConnection) {
      onConnection(socket);
      return;
    }
    const framer = new JsonFramer((text) => {
      const request = JSON.parse(text) as Request;
      requests.push(request);
      socket.write(JSON.stringify({ return: { ran: request.execute }, id: request.id }) + '\r\n');
    });
    socket.on('data', (data) => {
      framer.push(data);
    });
    socket.write(GREETING);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(where, resolve);
  });
  const dispose = () =>
    new Promise<void>((resolve) => {
      for (const socket of sockets) socket.destroy();
      server.close(() => {
        resolve();
      });
    });
  return { server, sockets, requests, [Symbol.asyncDispose]: dispose };
}
