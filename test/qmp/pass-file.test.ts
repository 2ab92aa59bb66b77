import { writeSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { connectQmp } from '../../src/qmp/connect.js';
import { getFd } from '../../src/qmp/commands.js';
import { loadSendWithFile, type SendWithFile } from '../../src/qmp/pass-file.js';
import { openSocket, SocketTransport } from '../../src/qmp/socket-transport.js';
import { connectUnix } from '../../src/qmp/unix-transport.js';
import { systemClock } from '../../src/clock.js';
import { scriptedServer, temporaryFolder } from './scripted-server.js';
import { readySession } from './memory-peer.js';
import { eventually } from '../support/eventually.js';

/** A transport whose files go by the given call, and what the other end has read. */
async function pair(path: string, send: SendWithFile) {
  let heard = '';
  const server = await scriptedServer({ path }, (socket) => {
    socket.on('data', (data) => (heard += data.toString()));
  });
  const socket = await openSocket({ path }, `unix:${path}`, {});
  const load = () => Promise.resolve(send);
  const transport = new SocketTransport(`unix:${path}`, socket, { clock: systemClock, load });
  return { server, transport, heard: () => heard };
}

/** Takes the first bytes of a message, as a kernel with little room does. */
const write = (socket: number, data: Uint8Array, atMost: number) => ({
  sentBytes: writeSync(socket, data, 0, Math.min(atMost, data.length)),
});
const ofText = (text: string) => Buffer.from(text);
const file = { fd: 0 };

it('sends a file with the first byte of its message, after all that came before and before all that follows', async () => {
  await using folder = await temporaryFolder();
  const calls: string[] = [];
  const { server, transport, heard } = await pair(join(folder.path, 's'), (socket, data) => {
    calls.push(Buffer.from(data).toString());
    return write(socket, data, Infinity);
  });
  const large = 'a'.repeat(3_000_000);
  await Promise.all([
    transport.send(ofText(large)),
    transport.files?.send(ofText('[with a file]'), file),
    transport.send(ofText('b')),
    transport.files?.send(ofText('[and another]'), file),
    transport.send(ofText('c')),
  ]);
  expect(calls).toEqual(['[with a file]', '[and another]']);
  await eventually(() => {
    expect(heard().length).toBe(large.length + 28);
  });
  expect(heard().slice(large.length)).toBe('[with a file]b[and another]c');
  transport.close();
  await server[Symbol.asyncDispose]();
});

it('tries again while there is no room, and writes what was not taken at once', async () => {
  await using folder = await temporaryFolder();
  let tries = 0;
  const { server, transport, heard } = await pair(join(folder.path, 's'), (socket, data) => {
    tries += 1;
    return tries < 4 ? { errno: 'EAGAIN' } : write(socket, data, 5);
  });
  await Promise.all([
    transport.files?.send(ofText('[with a file]'), file),
    transport.send(ofText('next')),
  ]);
  await eventually(() => {
    expect(heard()).toBe('[with a file]next');
  });
  expect(tries).toBe(4);
  transport.close();
  await server[Symbol.asyncDispose]();
});

it('sends nothing for a file that was closed meanwhile, and goes on', async () => {
  await using folder = await temporaryFolder();
  const { server, transport, heard } = await pair(join(folder.path, 's'), (socket, data) =>
    write(socket, data, Infinity),
  );
  const sending = transport.files?.send(ofText('[with a file]'), { fd: -1 });
  await expect(sending).rejects.toMatchObject({ code: 'NOT_SENT' });
  await transport.send(ofText('next'));
  await eventually(() => {
    expect(heard()).toBe('next');
  });
  transport.close();
  await server[Symbol.asyncDispose]();
});

it('tells an error of the kernel by its name', async () => {
  await using folder = await temporaryFolder();
  const { server, transport } = await pair(join(folder.path, 's'), () => ({ errno: 'EPIPE' }));
  await expect(transport.files?.send(ofText('x'), file)).rejects.toThrow(/sendmsg: EPIPE/);
  transport.close();
  await server[Symbol.asyncDispose]();
});

it('calls the C library by koffi, and its bytes arrive', async () => {
  await using folder = await temporaryFolder();
  const path = join(folder.path, 'vm.sock');
  await using server = await scriptedServer({ path });
  await using session = await connectQmp(path);
  expect(await session.fileObstacle()).toBeUndefined();
  const opened = await open('/dev/null', 'r');
  await getFd(session, 'null', opened);
  await opened.close();
  expect(server.requests.map(({ execute }) => execute)).toEqual(['qmp_capabilities', 'getfd']);
  const transport = await connectUnix(path).catch(() => undefined);
  transport?.close();
});

it('says what is missing where koffi is not installed, and what is wrong where it does not load', async () => {
  const absent = Object.assign(new Error('no package'), { code: 'ERR_MODULE_NOT_FOUND' });
  expect(await loadSendWithFile(() => Promise.reject(absent))).toMatch(/npm install koffi/);
  const broken = new Error('wrong ELF class');
  expect(await loadSendWithFile(() => Promise.reject(broken))).toMatch(/wrong ELF class/);
});

it('is refused, with nothing sent, by a transport that carries no files', async () => {
  const { session, peer } = await readySession();
  const before = peer.requests.length;
  await expect(getFd(session, 'null', file)).rejects.toMatchObject({ code: 'NO_FD_PASSING' });
  expect(peer.requests).toHaveLength(before);
  await session.close();
});
