import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { HostEffects, HostIoError } from '../../src/host/effects.js';
import { createHostEffects } from '../../src/host/real-effects.js';
import { eventually } from '../support/eventually.js';

const DEVICE = '/sys/bus/pci/devices/0000:3b:00.0';

let root: string;
let effects: HostEffects;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'qmplug-effects-'));
  effects = createHostEffects({
    roots: { sysfs: join(root, 'sys'), dev: join(root, 'dev') },
    allowWrites: true,
  });
});

afterEach(() => {
  rmSync(root, { recursive: true, force: true });
});

function file(path: string, text = ''): string {
  const real = join(root, path);
  mkdirSync(dirname(real), { recursive: true });
  writeFileSync(real, text);
  return real;
}

/** A FIFO blocks whoever opens it for writing until someone reads: like a held device lock. */
function fifo(path: string): string {
  const real = join(root, path);
  mkdirSync(dirname(real), { recursive: true });
  execFileSync('mkfifo', [real]);
  return real;
}

function isRunning(pid: number): boolean {
  try {
    // A killed child that is not reaped yet has no command line any more.
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8') !== '';
  } catch {
    return false;
  }
}

describe('write', () => {
  it('reaches an existing file, also several times over one child', async () => {
    const real = file(`${DEVICE}/driver_override`, '(null)\n');
    await effects.write(`${DEVICE}/driver_override`, 'vfio-pci');
    // Without O_TRUNC the rest of a longer text stays, as it must: sysfs files have no length.
    expect(readFileSync(real, 'utf8')).toBe('vfio-pci');
    for (const data of ['a', 'b', 'c']) await effects.write(`${DEVICE}/driver_override`, data);
    expect(readFileSync(real, 'utf8')).toBe('cfio-pci');
  });

  it('fails with the errno and never makes a file', async () => {
    file(`${DEVICE}/vendor`);
    await expect(effects.write(`${DEVICE}/driver/unbind`, '0000:3b:00.0')).rejects.toMatchObject({
      errno: 'ENOENT',
      path: `${DEVICE}/driver/unbind`,
      stuck: false,
    });
    await expect(effects.write(DEVICE, 'x')).rejects.toMatchObject({ errno: 'EISDIR' });
    expect(existsSync(join(root, `${DEVICE}/driver`))).toBe(false);
  });

  it('refuses what would never reach the kernel or lead elsewhere', async () => {
    file(`${DEVICE}/driver_override`, 'x');
    await expect(effects.write(`${DEVICE}/driver_override`, '')).rejects.toMatchObject({
      errno: 'EINVAL',
    });
    await expect(effects.write('/sys/../etc/passwd', 'x')).rejects.toMatchObject({
      errno: 'EINVAL',
    });
    await expect(effects.write('etc/passwd', 'x')).rejects.toMatchObject({ errno: 'EINVAL' });
  });

  it('gives up a write that blocks, queues nothing behind it, and goes on once it has ended', async () => {
    fifo(`${DEVICE}/driver/unbind`);
    file(`${DEVICE}/driver_override`, '(null)\n');
    file('/sys/bus/pci/drivers/vfio-pci/bind');
    const stuck = (await effects
      .write(`${DEVICE}/driver/unbind`, '0000:3b:00.0', { deadlineMs: 600 })
      .catch((error: unknown) => error)) as { childPid: number };
    expect(stuck).toMatchObject({ errno: 'ETIMEDOUT', stuck: true });
    expect(stuck.childPid).toBeGreaterThan(1);
    // Opening a FIFO can be killed, unlike an unbind inside the kernel, so this child ends.
    await eventually(() => {
      expect(isRunning(stuck.childPid)).toBe(false);
    });
    await eventually(async () => {
      await effects.write('/sys/bus/pci/drivers/vfio-pci/bind', '0000:3b:00.0');
    });
  });

  it('fails when the child is killed from outside, and takes another one', async () => {
    fifo(`${DEVICE}/driver/unbind`);
    const real = file(`${DEVICE}/driver_override`, '(null)\n');
    const unbind = effects.write(`${DEVICE}/driver/unbind`, '0000:3b:00.0');
    const children = () =>
      readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, 'utf8')
        .split(' ')
        .map(Number)
        .filter((pid) => pid > 0 && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('-e\0'));
    await eventually(() => {
      expect(children().length).toBeGreaterThan(0);
    });
    for (const pid of children()) process.kill(pid, 'SIGKILL');
    await expect(unbind).rejects.toMatchObject({ errno: 'EIO', stuck: false });
    await effects.write(`${DEVICE}/driver_override`, 'x');
    expect(readFileSync(real, 'utf8')).toBe('xnull)\n');
  });

  it('bars only the stuck device while its child still runs', async () => {
    fifo(`${DEVICE}/driver/unbind`);
    const bind = file('/sys/bus/pci/drivers/vfio-pci/bind');
    file(`${DEVICE}/driver_override`, '(null)\n');
    const kill = vi.spyOn((await import('node:child_process')).ChildProcess.prototype, 'kill');
    kill.mockReturnValue(true);
    const stuck = (await effects
      .write(`${DEVICE}/driver/unbind`, '0000:3b:00.0', { deadlineMs: 600 })
      .catch((error: unknown) => error)) as { childPid: number };
    const again = { errno: 'ETIMEDOUT', stuck: true, childPid: stuck.childPid };
    await expect(
      effects.write('/sys/bus/pci/drivers/vfio-pci/bind', '0000:3b:00.0'),
    ).rejects.toMatchObject(again);
    await expect(effects.read(`${DEVICE}/driver_override`)).rejects.toMatchObject(again);
    await effects.write('/sys/bus/pci/drivers/vfio-pci/bind', '0000:3b:00.1');
    expect(readFileSync(bind, 'utf8')).toBe('0000:3b:00.1');
    kill.mockRestore();
    process.kill(stuck.childPid, 'SIGKILL');
    await eventually(async () => {
      expect(await effects.read(`${DEVICE}/driver_override`)).toBe('(null)\n');
    });
  });

  it('hands no other open file to the child', async () => {
    fifo(`${DEVICE}/driver/unbind`);
    const server = createServer().listen(join(root, 'qmp.sock'));
    await once(server, 'listening');
    const kill = vi.spyOn((await import('node:child_process')).ChildProcess.prototype, 'kill');
    kill.mockReturnValue(true);
    const stuck = (await effects
      .write(`${DEVICE}/driver/unbind`, '0000:3b:00.0', { deadlineMs: 600 })
      .catch((error: unknown) => error)) as { childPid: number };
    kill.mockRestore();
    const own = execFileSync('ls', ['-l', `/proc/${process.pid}/fd`], { encoding: 'utf8' });
    const child = execFileSync('ls', ['-l', `/proc/${stuck.childPid}/fd`], { encoding: 'utf8' });
    process.kill(stuck.childPid, 'SIGKILL');
    server.close();
    const sockets = (text: string) => new Set(text.match(/socket:\[\d+\]/g));
    // Its standard input and output are the only sockets, and neither is one of ours.
    expect(sockets(child).size).toBe(2);
    expect([...sockets(child)].filter((name) => sockets(own).has(name))).toEqual([]);
    expect(child).not.toContain(root.concat('/qmp.sock'));
  });

  it('answers nothing on a tree without a kernel', async () => {
    file(`${DEVICE}/driver_override`, '(null)\n');
    file('/dev/vfio/7');
    const fixture = createHostEffects({
      roots: { sysfs: join(root, 'sys'), dev: join(root, 'dev') },
    });
    const readOnly = { errno: 'EROFS' };
    await expect(fixture.write(`${DEVICE}/driver_override`, 'x')).rejects.toMatchObject(readOnly);
    await expect(fixture.chown('/dev/vfio/7', 0, 0)).rejects.toMatchObject(readOnly);
    await expect(fixture.chmod('/dev/vfio/7', 0o666)).rejects.toMatchObject(readOnly);
    await expect(fixture.loadModule('vfio_pci')).rejects.toMatchObject(readOnly);
    const limit = { soft: 1n, hard: 1n };
    await expect(fixture.setMemlock(process.pid, limit)).rejects.toMatchObject(readOnly);
    expect(await fixture.read(`${DEVICE}/driver_override`)).toBe('(null)\n');
  });
});

describe('read', () => {
  it('gives up an override that does not answer, without waiting in this process', async () => {
    fifo(`${DEVICE}/driver_override`);
    await expect(
      effects.read(`${DEVICE}/driver_override`, { deadlineMs: 600 }),
    ).rejects.toMatchObject({ errno: 'ETIMEDOUT', stuck: true });
    // Four blocked threads would stop every further file operation here.
    expect(await effects.list(DEVICE)).toEqual(['driver_override']);
  });

  it('reads text, bytes, links and nodes where the root is', async () => {
    const bytes = Uint8Array.from({ length: 64 }, (_, index) => 255 - index);
    writeFileSync(file(`${DEVICE}/config`), bytes);
    file(`${DEVICE}/vendor`, '0x10de\n');
    expect(await effects.read(`${DEVICE}/vendor`)).toBe('0x10de\n');
    expect([...(await effects.readBytes(`${DEVICE}/config`, 4))]).toEqual([255, 254, 253, 252]);
    expect((await effects.readBytes(`${DEVICE}/config`, 4096)).length).toBe(64);
    expect((await effects.readBytes(`${DEVICE}/vendor`, 3)).length).toBe(3);
    expect(await effects.stat(`${DEVICE}/vendor`)).toMatchObject({ kind: 'file', rdev: undefined });
    await expect(effects.readlink(`${DEVICE}/driver`)).rejects.toMatchObject({ errno: 'ENOENT' });
  });

  it('reads what there is of a log that has no end, and does not wait for more', async () => {
    const log = openSync(fifo('/dev/kmsg'), constants.O_RDWR);
    writeSync(log, '6,1,2,-;first\n');
    expect(await effects.read('/dev/kmsg')).toBe('6,1,2,-;first\n');
    expect(await effects.read('/dev/kmsg')).toBe('');
    closeSync(log);
  });

  it('reads no more than the end of a long log', async () => {
    file('/dev/kmsg', `${'6,1,2,-;early\n'.repeat(200_000)}6,9,9,-;late\n`);
    const text = await effects.read('/dev/kmsg');
    expect(text.length).toBeLessThanOrEqual(512 * 1024);
    expect(text).toMatch(/late\n$/);
  });

  it("comes back from this machine's own log, whoever may read it", async () => {
    const read = await createHostEffects()
      .read('/dev/kmsg')
      .catch((error: unknown) => (error as HostIoError).errno);
    expect(read).toMatch(/^(E[A-Z]+$|\d+,\d+,)/);
    expect(read).not.toBe('ETIMEDOUT');
  });

  it('tells a character device by its numbers', async () => {
    expect(await createHostEffects().stat('/dev/null')).toMatchObject({
      kind: 'character',
      rdev: { major: 1, minor: 3 },
    });
  });
});

describe('chown and chmod', () => {
  it('change the node and nothing else', async () => {
    const real = file('/dev/vfio/7');
    await effects.chmod('/dev/vfio/7', 0o640);
    await effects.chown('/dev/vfio/7', process.getuid?.() ?? 0, process.getgid?.() ?? 0);
    expect(statSync(real).mode & 0o777).toBe(0o640);
  });
});

describe('loadModule', () => {
  it('is done when the module is there, and refuses what is no name', async () => {
    mkdirSync(join(root, 'sys/module/vfio_pci'), { recursive: true });
    await effects.loadModule('vfio-pci');
    await expect(effects.loadModule('-r')).rejects.toMatchObject({ errno: 'EINVAL' });
    await expect(effects.loadModule('../evil')).rejects.toMatchObject({ errno: 'EINVAL' });
  });
});

describe('memlock', () => {
  it('reads and sets the limit of a running process', async () => {
    const real = createHostEffects();
    const child = spawn('sleep', ['60'], { stdio: 'ignore' });
    try {
      const pid = child.pid ?? 0;
      const before = await real.readMemlock(pid);
      const lowered = { soft: 65_536n, hard: before.hard };
      await real.setMemlock(pid, lowered);
      expect(await real.readMemlock(pid)).toEqual(lowered);
    } finally {
      child.kill();
    }
  });

  it('says so when there is no such process', async () => {
    const nobody = 4_194_304;
    await expect(createHostEffects().readMemlock(nobody)).rejects.toMatchObject({
      errno: 'ENOENT',
    });
    await expect(
      createHostEffects().setMemlock(nobody, { soft: 1n, hard: 1n }),
    ).rejects.toMatchObject({ errno: 'EIO', cause: { message: /prlimit/ } });
  });
});
