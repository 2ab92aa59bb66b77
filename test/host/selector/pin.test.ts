import { describe, expect, it } from 'vitest';
import { formatPin, parsePin, pinDevice, type Pin } from '../../../src/host/selector/pin.js';
import {
  parsePolicyFile,
  readPolicyFile,
  rulesFor,
} from '../../../src/host/selector/policy-file.js';
import { parseRequest } from '../../../src/host/selector/parse-selector.js';
import type { HostEffects } from '../../../src/host/effects.js';
import type { Rule } from '../../../src/host/selector/deny.js';
import { resolveSelector } from '../../../src/host/selector/resolve-selector.js';
import type { HostTree } from '../sysfs-tree.js';
import { gpuHost } from './gpu-host.js';

async function pinOf(tree: HostTree, text: string): Promise<string> {
  const request = parseRequest(text, { order: ['serial'] });
  const { chosen, set, selector, selectorHash } = await resolveSelector(
    { effects: tree.effects },
    request,
    { guarded: false, readAll: true },
  );
  const devices = chosen.map((candidate) => pinDevice(candidate, set));
  const pin: Pin = { selector, selectorHash, time: '2026-01-01T00:00:00.000Z', devices };
  expect(parsePin(formatPin(pin), 'x')).toEqual(pin);
  tree.file('/etc/test.pin', formatPin(pin));
  return tree.real('/etc/test.pin');
}

async function meet(
  tree: HostTree,
  text: string,
  file: string,
  follow = false,
  expectGroup?: string,
) {
  const request = parseRequest(text, { pin: { file, follow } });
  const expectation = expectGroup === undefined ? undefined : { group: expectGroup };
  return resolveSelector(
    { effects: tree.effects },
    { ...request, expect: expectation },
    { guarded: false },
  );
}

describe('a pin', () => {
  it('lets the same device pass, and says where no serial number proves it', async () => {
    using tree = gpuHost();
    const nvme = await pinOf(tree, 'class:nvme');
    expect((await meet(tree, 'class:nvme', nvme)).notes).toEqual([]);
    const gpu = await pinOf(tree, '0000:01:00.0');
    const { chosen, notes } = await meet(tree, 'id:10de:2204', gpu);
    expect(chosen.map(({ name }) => name)).toEqual(['0000:01:00.0']);
    expect(notes).toEqual([expect.stringContaining('no serial number to compare')]);
  });

  it('finds a device that has moved by its serial number, and follows only when told', async () => {
    using tree = gpuHost();
    const file = await pinOf(tree, '10000:e1:00.0');
    tree.remove('/sys/bus/pci/devices/10000:e1:00.0');
    tree.remove('/sys/class/nvme');
    tree.addFunction('10000:e2:00.0', { class: '0x010802', driver: 'nvme', group: 6 });
    tree.addChild('10000:e2:00.0', 'nvme/nvme1', { serial: 'S4EV-77' });
    await expect(meet(tree, '10000:e1:00.0', file)).rejects.toMatchObject({
      code: 'MOVED',
      details: { by: 'serial' },
    });
    const { chosen, notes } = await meet(tree, '10000:e1:00.0', file, true);
    expect(chosen.map(({ name }) => name)).toEqual(['10000:e2:00.0']);
    expect(notes.join()).toContain('has moved to 10000:e2:00.0');
  });

  it('finds a device without a serial number by its place', async () => {
    using tree = gpuHost();
    const file = await pinOf(tree, '0000:01:00.0');
    tree.remove('/sys/bus/pci/devices/0000:01:00.0');
    tree.addFunction('0000:02:00.0', {
      vendor: '0x10de',
      device: '0x2204',
      class: '0x030000',
      above: ['pci0000:00', '0000:00:01.1'],
      group: 3,
    });
    await expect(meet(tree, 'id:10de:2204 numa:-1', file)).rejects.toMatchObject({
      code: 'MOVED',
      details: { by: 'topology path' },
    });
  });

  it('refuses another device at the address', async () => {
    using tree = gpuHost();
    const file = await pinOf(tree, '0000:01:00.0');
    tree.file(`${tree.pathOf('0000:01:00.0')}/device`, '0x2206\n');
    await expect(meet(tree, '0000:01:00.0', file, true)).rejects.toMatchObject({
      code: 'IDENTITY_CHANGED',
    });
    tree.remove('/sys/bus/pci/devices/0000:01:00.0');
    await expect(meet(tree, '0000:01:00.0', file)).rejects.toMatchObject({
      code: 'IDENTITY_CHANGED',
    });
  });

  it('tells of a changed group, and makes it an error where that is asked for', async () => {
    using tree = gpuHost();
    const file = await pinOf(tree, '0000:01:00.0');
    tree.setDriver('0000:01:00.1', 'snd_hda_intel');
    const { notes } = await meet(tree, '0000:01:00.0', file);
    expect(notes.join()).toContain('0000:01:00.1=snd_hda_intel');
    await expect(meet(tree, '0000:01:00.0', file, false, 'strict')).rejects.toMatchObject({
      code: 'IDENTITY_CHANGED',
    });
  });

  it.each(['', '{}', '[]', '{"qmplugPin":1,"devices":[]}', '{"qmplugPin":2}'])(
    'is not %j',
    (text) => {
      expect(() => parsePin(text, 'x.pin')).toThrow(expect.objectContaining({ code: 'SYNTAX' }));
    },
  );
});

describe('what is expected', () => {
  it.each([
    [{ vendor: '10de', device: '0x2204', count: 1, group: '3' }, undefined],
    [{ device: '2206' }, 'IDENTITY_CHANGED'],
    [{ count: 2 }, 'IDENTITY_CHANGED'],
    [{ serial: 'abc' }, 'IDENTITY_CHANGED'],
  ])('%j ends with %s', async (expectation, code) => {
    using tree = gpuHost();
    const request = { ...parseRequest('0000:01:00.0', {}), expect: expectation };
    const found = resolveSelector({ effects: tree.effects }, request, { guarded: false });
    if (code === undefined) expect((await found).chosen).toHaveLength(1);
    else await expect(found).rejects.toMatchObject({ code });
  });
});

describe('a policy file', () => {
  const TEXT = [
    '# The first that matches decides.',
    'deny lab-card: id:10de:2204 numa:1',
    'allow isa: 0000:00:1f.0',
    '',
  ].join('\n');

  it('comes before the default rules', async () => {
    using tree = gpuHost();
    const rules = rulesFor(parsePolicyFile(TEXT, 'p'), undefined);
    const chosen = async (text: string) =>
      (await resolveSelector({ effects: tree.effects }, parseRequest(text, {}), { rules })).chosen;
    expect((await chosen('id:10de:2204')).map(({ name }) => name)).toEqual(['0000:01:00.0']);
    expect(await chosen('0000:00:1f.0')).toHaveLength(1);
    await expect(chosen('0000:81:00.0')).rejects.toMatchObject({
      code: 'DENIED',
      details: { rejected: [{ rule: 'lab-card' }] },
    });
  });

  it('gives each tenant its share and nobody else anything', async () => {
    using tree = gpuHost();
    const policy = parsePolicyFile('tenant alice devices=1: class:gpu numa:0\n', 'p');
    expect(policy.tenants[0]?.quota).toEqual({ devices: 1, groups: undefined, vfs: undefined });
    const code = async (asker: string | undefined, text: string) =>
      resolveSelector({ effects: tree.effects }, parseRequest(text, {}), {
        rules: rulesFor(policy, asker),
      }).then(
        ({ chosen }) => chosen[0]?.name,
        (error: unknown) => (error as { code: string }).code,
      );
    expect(await code('alice', 'id:10de:2204')).toBe('0000:01:00.0');
    expect(await code('alice', '0000:81:00.0')).toBe('DENIED');
    expect(await code('bob', 'id:10de:2204')).toBe('DENIED');
    expect(await code(undefined, 'id:10de:2204')).toBe('DENIED');
  });

  it('is not passed over by name, neither its rules nor a share', async () => {
    using tree = gpuHost();
    const found = (text: string, allow: string[], rules: readonly Rule[]) =>
      resolveSelector({ effects: tree.effects }, parseRequest(text, { allow }), { rules });
    const rules = rulesFor(parsePolicyFile(TEXT, 'p'), undefined);
    await expect(found('0000:81:00.0', ['lab-card'], rules)).rejects.toMatchObject({
      code: 'DENIED',
      remedy: expect.stringContaining('whoever keeps the policy file') as unknown,
    });
    const share = rulesFor(parsePolicyFile('tenant alice: numa:0\n', 'p'), 'alice');
    await expect(found('0000:81:00.0', ['tenant.alice'], share)).rejects.toMatchObject({
      code: 'DENIED',
      details: { rejected: [{ rule: 'tenant.alice' }] },
    });
  });

  it('asks of more than the device that is named', async () => {
    using tree = gpuHost();
    const rules = rulesFor(parsePolicyFile('deny vfs: pf-of:(driver:igb)\n', 'p'), undefined);
    const found = resolveSelector({ effects: tree.effects }, parseRequest('0000:05:10.1', {}), {
      rules,
    });
    await expect(found).rejects.toMatchObject({
      message: expect.not.stringContaining('as far as can be told') as unknown,
      details: { rejected: [{ rule: 'vfs' }] },
    });
  });

  it('denies and allows what a pin names, wherever it is now', async () => {
    using tree = gpuHost();
    const file = await pinOf(tree, '0000:81:00.0');
    const trusted = Object.create(tree.effects) as HostEffects;
    trusted.stat = async (path) =>
      path === '/p' || path === file
        ? { kind: 'file', uid: 0, gid: 0, mode: 0o644, rdev: undefined, inode: 1n }
        : tree.effects.stat(path);
    const policy = (text: string): HostEffects =>
      Object.assign(Object.create(trusted) as HostEffects, {
        read: async (path: string) => (path === '/p' ? text : tree.effects.read(path)),
      });
    const chosen = async (text: string) => {
      const rules = rulesFor(await readPolicyFile(policy(text), '/p'), undefined);
      const request = parseRequest('id:10de:2204', { policy: 'all' });
      const found = await resolveSelector({ effects: tree.effects }, request, { rules });
      return found.chosen.map(({ name }) => name);
    };
    expect(await chosen(`deny archive: pin:${file}\n`)).toEqual(['0000:01:00.0']);
    expect(await chosen(`allow mine: pin:${file}\ndeny rest: has:kind\n`)).toEqual([
      '0000:81:00.0',
    ]);
    const others = {
      kind: 'file',
      uid: 1000,
      gid: 0,
      mode: 0o644,
      rdev: undefined,
      inode: 1n,
    } as const;
    const unsafe = policy(`deny archive: pin:${file}\n`);
    unsafe.stat = async (path) => (path === file ? others : trusted.stat(path));
    await expect(readPolicyFile(unsafe, '/p')).rejects.toMatchObject({
      code: 'POLICY_FILE_UNSAFE',
      details: { file },
    });
    expect(() => parsePolicyFile('deny x: pin:relative.pin\n', 'p')).toThrow(
      expect.objectContaining({ code: 'SYNTAX' }),
    );
  });

  it.each([
    'permit x: vf',
    'deny : vf',
    'deny x vf',
    'deny x: nope:1',
    'deny x: vf\ndeny x: pf',
    'deny x devices=1: vf',
    'tenant x colour=1: vf',
  ])('is refused for %j', (text) => {
    expect(() => parsePolicyFile(text, 'p')).toThrow(expect.objectContaining({ code: 'SYNTAX' }));
  });

  it('is refused where others than root could have written it', async () => {
    using tree = gpuHost();
    const stat = { kind: 'file', uid: 0, gid: 0, mode: 0o644, rdev: undefined, inode: 1n } as const;
    const withStat = (change: object) => ({
      ...tree.effects,
      stat: async () => ({ ...stat, ...change }),
      read: async () => TEXT,
    });
    expect((await readPolicyFile(withStat({}), '/p')).rules).toHaveLength(2);
    for (const change of [{ uid: 1000 }, { mode: 0o664 }, { mode: 0o646 }, { kind: 'link' }]) {
      await expect(readPolicyFile(withStat(change), '/p')).rejects.toMatchObject({
        code: 'POLICY_FILE_UNSAFE',
      });
    }
    await expect(readPolicyFile(tree.effects, '/nonexistent')).rejects.toMatchObject({
      code: 'HOST_UNREADABLE',
    });
  });
});
