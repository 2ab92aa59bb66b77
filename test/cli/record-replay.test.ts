import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkTranscript, parseTranscript } from '../../src/testing.js';
import { CliHome } from './run-cli.js';
import { Serving, SocketClient } from './sockets.js';

let home: CliHome;
let simulated: Serving;
const at = (name: string) => join(home.directory, name);
const NEGOTIATE = { execute: 'qmp_capabilities' };
const PRACTICE = ['--device', '{"driver":"pci-testdev"}', '--id', 'd0'];

beforeEach(async () => {
  home = new CliHome();
  const listen = ['--listen', at('vm.sock'), '--listen', at('other.sock')];
  simulated = await new Serving(home, ['simulate', ...listen]).until('emulated devices only');
});
afterEach(async () => {
  await simulated.stop();
  home[Symbol.dispose]();
});

const record = (...args: string[]) =>
  new Serving(home, ['record', at('vm.sock'), '--listen', at('rec.sock'), ...args]).until(
    'recording',
  );

describe('record', () => {
  it('serves the qmplug commands as QEMU does, and what it wrote replays them', async () => {
    const recording = await record('-o', at('a.jsonl'));
    expect((await home.run(['status', at('rec.sock')])).status).toBe(0);
    expect((await home.run(['attach', at('rec.sock'), ...PRACTICE])).status).toBe(0);
    const ended = await recording.stop();
    expect(ended).toMatchObject({ status: 0, stdout: '' });
    expect(ended.stderr).toMatch(/recorded \d+ messages in 2 sessions/);
    expect(existsSync(at('rec.sock'))).toBe(false);
    const text = readFileSync(at('a.jsonl'), 'utf8');
    expect(checkTranscript(text)).toMatchObject({ sessionCount: 2, findings: [] });
    expect(parseTranscript(text).header).toEqual({
      qmplug: 1,
      qemu: '7.2.22',
      machine: 'q35',
      scenario: 'a',
      origin: 'recorded',
    });

    const state = { QMPLUG_STATE_DIR: at('fresh'), QMPLUG_RUN_DIR: at('fresh-run') };
    const replaying = new Serving(home, ['replay', at('a.jsonl'), '--listen', at('replay.sock')]);
    await replaying.until('replaying');
    expect((await home.run(['status', at('replay.sock')], { env: state })).status).toBe(0);
    const again = await home.run(['attach', at('replay.sock'), ...PRACTICE], { env: state });
    expect(again).toMatchObject({ status: 0 });
    expect(await replaying.done).toMatchObject({ status: 0 });
  });

  it('passes the bytes of both sides unchanged, pretty or not', async () => {
    const said = '{"QMP": {"version": {"qemu": {"micro": 1, "minor": 2,\r\n "major": 9}}}}\r\n\t';
    const heard: string[] = [];
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.write(said);
      socket.on('data', (data) => {
        heard.push(data.toString());
        const [id = ''] = /"id":\d+/.exec(data.toString()) ?? [];
        socket.write(`{"return":\n  {}${id && `, ${id}`}}`);
      });
    });
    await new Promise<void>((resolve) => server.listen(at('odd.sock'), resolve));
    try {
      const recording = new Serving(home, ['record', at('odd.sock'), '--listen', at('rec.sock')]);
      await recording.until('recording');
      heard.length = 0;
      using client = new SocketClient(at('rec.sock'));
      await client.until(() => client.messages.length === 1);
      client.write(' {"execute" :\n"stop"  } ');
      await client.until(() => client.messages.length === 2);
      expect(client.text).toBe(`${said}{"return":\n  {}}`);
      expect(heard.join('')).toBe(' {"execute" :\n"stop"  } ');
      const { stdout, status } = await recording.stop();
      expect({ status, lines: stdout.trim().split('\n').length }).toEqual({ status: 0, lines: 4 });
      expect(parseTranscript(stdout).header).toMatchObject({ qemu: '9.2.1', machine: 'unknown' });
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
  });

  it('lets a second client wait for its greeting until the first has gone', async () => {
    const recording = await record();
    using first = new SocketClient(at('rec.sock'));
    await first.until(() => first.messages.length === 1);
    using second = new SocketClient(at('rec.sock'));
    await first.ask(NEGOTIATE);
    expect(second.text).toBe('');
    first.end();
    await second.until(() => second.messages.length === 1);
    expect(second.messages[0]).toHaveProperty('QMP');
    expect((await recording.stop()).stderr).toContain('in 2 sessions');
  });

  it('masks secrets, and a replay takes any text for them', async () => {
    const recording = await record('-o', at('a.jsonl'), '--once');
    const secret = { 'qom-type': 'secret', id: 's0', data: 'hunter2' };
    {
      using client = new SocketClient(at('rec.sock'));
      await client.ask(NEGOTIATE);
      await client.ask({ execute: 'object-add', arguments: secret });
      await client.ask({ execute: 'change-vnc-password', arguments: { password: 'hunter2' } });
      client.end();
    }
    expect((await recording.done).status).toBe(0);
    const text = readFileSync(at('a.jsonl'), 'utf8');
    expect(text).not.toContain('hunter2');
    expect(text).toContain('"data":"(masked)"');
    expect(statSync(at('a.jsonl')).mode & 0o777).toBe(0o600);

    const replaying = new Serving(home, ['replay', at('a.jsonl'), '--listen', at('replay.sock')]);
    await replaying.until('replaying');
    using client = new SocketClient(at('replay.sock'));
    await client.ask(NEGOTIATE);
    await client.ask({ execute: 'object-add', arguments: { ...secret, data: 'other' } });
    await client.ask({ execute: 'change-vnc-password', arguments: { password: '' } });
    client.end();
    expect((await replaying.done).status).toBe(0);
  });

  it('says that a file descriptor cannot pass, and lets QEMU refuse it', async () => {
    const recording = await record();
    using client = new SocketClient(at('rec.sock'));
    await client.ask(NEGOTIATE);
    const reply = await client.ask({ execute: 'getfd', arguments: { fdname: 'x' } });
    expect(reply).toHaveProperty('error');
    expect(recording.stderr).toContain('getfd: a file descriptor cannot pass');
    await recording.stop();
  });

  it('ends with QEMU, and with status 1 where something passed that is no QMP', async () => {
    const whole = await record();
    {
      using client = new SocketClient(at('rec.sock'));
      await client.ask(NEGOTIATE);
      client.write('HELLO\n');
      client.write('{"execute":"query-status"}');
      await client.until(() => client.messages.length > 2);
      client.write('{"execute":"quit"}');
      await client.until(() => client.ended);
    }
    const { status, stderr } = await whole.done;
    expect(stderr).toContain('QEMU has closed the monitor');
    expect(stderr).toContain('[RECORDING_INCOMPLETE]');
    expect(status).toBe(1);
  });

  it('refuses what is in the way: a VM that is not there, a socket in use, a file that exists', async () => {
    writeFileSync(at('there.jsonl'), 'precious');
    const args = ['record', at('vm.sock'), '--listen'];
    expect(await home.json([...args, at('new.sock'), '-o', at('there.jsonl')])).toMatchObject({
      status: 2,
      document: { error: { code: 'BAD_ARGUMENT' } },
    });
    expect(readFileSync(at('there.jsonl'), 'utf8')).toBe('precious');
    expect(await home.json([...args, at('other.sock'), '-o', at('n.jsonl')])).toMatchObject({
      status: 3,
      document: { error: { code: 'LISTEN_FAILED' } },
    });
    expect(await home.json([...args, at('there.jsonl')])).toMatchObject({ status: 3 });
    expect(readFileSync(at('there.jsonl'), 'utf8')).toBe('precious');
    expect(existsSync(at('n.jsonl'))).toBe(false);
    const nobody = ['record', at('nobody.sock'), '--listen', at('new.sock')];
    expect(await home.json(nobody)).toMatchObject({
      status: 3,
      document: { error: { code: 'CONNECT_FAILED' } },
    });
    expect(existsSync(at('new.sock'))).toBe(false);
  });
});

const FIXTURE = join(
  import.meta.dirname,
  '../../fixtures/qmp-transcripts/7.2.22/q35/attach-to-named-port.jsonl',
);

describe('replay', () => {
  const replay = (...args: string[]) =>
    new Serving(home, ['replay', FIXTURE, '--listen', at('replay.sock'), ...args]).until(
      'replaying',
    );

  it('shows the first mismatch as a diff with the line, and ends with status 3', async () => {
    const replaying = await replay();
    await home.run(['status', at('replay.sock')]);
    const { status, stderr, stdout } = await replaying.done;
    expect({ status, stdout }).toEqual({ status: 3, stdout: '' });
    expect(stderr).toMatch(/\(line \d+\) should be .*\n {2}- .*\n {2}\+ /);
  });

  it('fails with status 3 when it is ended before the client came', async () => {
    const { status, stderr } = await (await replay()).stop();
    expect(status).toBe(3);
    expect(stderr).toContain('were not reached');
  });

  it('replaces a socket that a killed process has left', async () => {
    const listen = `require('net').createServer().listen(process.argv[1], () => process.kill(process.pid, 9))`;
    spawnSync(process.execPath, ['-e', listen, at('replay.sock')]);
    expect(statSync(at('replay.sock')).isSocket()).toBe(true);
    const { status } = await (await replay()).stop();
    expect(status).toBe(3);
    expect(existsSync(at('replay.sock'))).toBe(false);
  });
});
