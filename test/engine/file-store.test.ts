import {
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import type * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createFileStore } from '../../src/engine/index.js';
import { RefusedError } from '../../src/errors.js';

vi.mock('node:fs', async (original) => {
  const real = await original<typeof fs>();
  return {
    ...real,
    linkSync: vi.fn(real.linkSync),
    mkdirSync: vi.fn(real.mkdirSync),
    unlinkSync: vi.fn(real.unlinkSync),
    writeFileSync: vi.fn(real.writeFileSync),
  };
});

const link = vi.mocked(linkSync);
const unlink = vi.mocked((await import('node:fs')).unlinkSync);

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'qmplug-store-'));
});
afterEach(() => {
  rmSync(root, { recursive: true });
  vi.clearAllMocks();
});

/** Ends `create` where a SIGKILL would: with the draft written, linked or not, and not removed. */
async function createKilled(name: string, { linked }: { readonly linked: boolean }) {
  const killed = () => {
    throw new Error('killed');
  };
  if (!linked) link.mockImplementationOnce(killed);
  unlink.mockImplementationOnce(killed);
  await expect(createFileStore(root).create(name, 'text')).rejects.toThrow();
}

describe.each([false, true])('a file store (durable: %s)', (durable) => {
  const open = () => createFileStore(root, { durable });

  it('makes a file whole, once, and leaves nothing beside it', async () => {
    expect(await open().create('locks/vm/1', 'one')).toBe(true);
    expect(await open().create('locks/vm/1', 'two')).toBe(false);
    expect(await open().read('locks/vm/1')).toBe('one');
    expect(readdirSync(join(root, 'locks/vm'))).toEqual(['1']);
  });

  it.each(['plans/p', 'locks/vm/1', 'p'])(
    'sweeps what a killed process left of %s',
    async (name) => {
      for (const linked of [false, true]) await createKilled(`${name}${linked}`, { linked });
      const folder = join(root, name, '..');
      expect(readdirSync(folder)).toHaveLength(3);
      expect(await open().list(join(name, '..'))).toEqual([`${name.split('/').at(-1)}true`]);
      await open().sweep();
      expect(readdirSync(folder)).toEqual([`${name.split('/').at(-1)}true`]);
    },
  );

  it('says of a file that cannot be read that it cannot be read', async () => {
    mkdirSync(join(root, 'plans/p'), { recursive: true });
    await expect(open().read('plans/p')).rejects.toMatchObject({
      code: 'STATE_UNWRITABLE',
      message: expect.stringContaining('cannot be read: EISDIR') as string,
    });
    writeFileSync(join(root, 'file'), '');
    await expect(open().read('file/p')).rejects.toMatchObject({
      code: 'DENIED',
      message: expect.stringContaining('cannot be read: ENOTDIR') as string,
    });
  });

  it('names the settings that give who is not root places of his own', async () => {
    writeFileSync(join(root, 'plans'), '');
    await expect(open().create('plans/p/q', '')).rejects.toMatchObject({
      code: 'DENIED',
      remedy: expect.stringMatching(/QMPLUG_STATE_DIR.*QMPLUG_RUN_DIR/) as string,
    });
  });

  it('refuses to begin on a full disk, and leaves nothing there', async () => {
    await open().create('plans/p', 'text');
    vi.mocked(writeFileSync).mockImplementationOnce((path) => {
      closeSync(openSync(String(path), 'wx'));
      throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
    });
    const refusal = await open()
      .create('plans/q', 'text')
      .catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(RefusedError);
    expect(refusal).toMatchObject({ code: 'STATE_UNWRITABLE', details: { errno: 'ENOSPC' } });
    expect(readdirSync(join(root, 'plans'))).toEqual(['p']);
  });

  it('tells a read-only file system from a folder that goes missing', async () => {
    vi.mocked(mkdirSync).mockImplementation((path) => {
      const code = String(path) === root ? 'EEXIST' : 'EROFS';
      throw Object.assign(new Error('mkdir'), { code });
    });
    await expect(open().create('plans/p', 'text')).rejects.toMatchObject({
      code: 'DENIED',
      details: { errno: 'EROFS' },
    });
    vi.mocked(mkdirSync).mockReset();
  });

  it('sweeps what the version before left, and nothing of others', async () => {
    const mine = open();
    await mine.create('plans/p', 'text');
    writeFileSync(join(root, 'plans/.draft-4711-12'), 'text');
    const others = ['.draft-', '.draft-notes.txt', '.drafts', 'draft-1-2', '.hidden'];
    for (const name of others) writeFileSync(join(root, 'plans', name), 'text');
    await mine.sweep();
    expect(readdirSync(join(root, 'plans')).sort()).toEqual([...others, 'p'].sort());
  });

  it('sweeps a folder that is not there', async () => {
    rmSync(root, { recursive: true });
    await open().sweep();
    expect(existsSync(root)).toBe(false);
    await open().create('plans/p', 'text');
  });

  it('makes the file all the same when its draft is swept before it has its name', async () => {
    const sweepFirst = (from: fs.PathLike) => {
      rmSync(from);
      throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
    };
    link.mockImplementationOnce(sweepFirst).mockImplementationOnce(sweepFirst);
    expect(await open().create('plans/p', 'text')).toBe(true);
    expect(await open().read('plans/p')).toBe('text');
    expect(readdirSync(join(root, 'plans'))).toEqual(['p']);
  });

  it('takes a draft that was swept after it had its name for removed', async () => {
    unlink.mockImplementationOnce((path) => {
      rmSync(path);
      throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
    });
    expect(await open().create('plans/p', 'text')).toBe(true);
    expect(readdirSync(join(root, 'plans'))).toEqual(['p']);
  });

  it('gives up, typed, where drafts go missing for ever', async () => {
    const lost = link.mockImplementation(() => {
      throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
    });
    await expect(open().create('plans/p', 'text')).rejects.toMatchObject({
      code: 'STATE_UNWRITABLE',
      details: { errno: 'ENOENT' },
    });
    lost.mockReset();
  });
});
