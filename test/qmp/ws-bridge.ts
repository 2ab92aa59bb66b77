import { connect, type AddressInfo } from 'node:net';
import { WebSocketServer, type WebSocket } from 'ws';

export interface WsBridge extends AsyncDisposable {
  readonly url: string;
  readonly clients: ReadonlySet<WebSocket>;
}

/** A WebSocket server on loopback; `onClient` says what a client meets. */
export async function wsServer(onClient: (client: WebSocket) => void): Promise<WsBridge> {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  server.on('connection', onClient);
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `ws://127.0.0.1:${port}/`,
    clients: server.clients,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        for (const client of server.clients) client.terminate();
        server.close(() => {
          resolve();
        });
      }),
  };
}

/** Passes the bytes of a unix socket through, as `websocat --binary` does. */
export function wsBridge(path: string): Promise<WsBridge> {
  return wsServer((client) => {
    const socket = connect({ path });
    socket.on('data', (data) => {
      client.send(data);
    });
    socket.on('close', () => {
      client.close();
    });
    socket.on('error', () => undefined);
    client.on('message', (data: Buffer) => socket.write(data));
    client.on('close', () => {
      socket.destroy();
    });
  });
}
