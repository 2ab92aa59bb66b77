import type { HostEffects, HostStat } from '../../../src/host/effects.js';
import { describe, expect, it } from 'vitest';
import {
  applyHost,
  planHost,
  readDesiredState,
  rollbackHost,
  type SetupPlan,
} from '../../../src/host/setup/index.js';
import { desktop, plan, stateOf, wantedText, type Tree } from './planning.js';
import * as trees from './stand-ins.js';
import { HostTree } from './tree.js';

describe('the rule for kvmfr', () => {
  const ruleOf = (made: SetupPlan) => made.actions.find(({ id }) => id.includes('udev'));

  it('names no owner, whoever runs it', async () => {
    const rule = ruleOf(await plan(desktop, { kvmfr: { sizesMb: [64] } }));
    expect(rule?.wanted).not.toContain('OWNER');
    expect(rule?.wanted).toContain('GROUP="kvm", MODE="0660", TAG+="uaccess"');
  });

  it('refuses a group that is not a system group, which systemd 258 drops the line for', async () => {
    const made = await plan(desktop, { kvmfr: { sizesMb: [64], group: 'admin' } });
    expect(stateOf(made, 'kvmfr.rule')).toBe('unmet');
    expect(ruleOf(made)).toBeUndefined();
  });

  it('sorts before 73-seat-late.rules', async () => {
    const name = ruleOf(await plan(desktop, { kvmfr: { sizesMb: [64] } }))
      ?.id.split('/')
      .at(-1);
    expect(name).toBe('70-qmplug-kvmfr.rules');
    expect((name ?? '') < '73-seat-late.rules').toBe(true);
  });
});

describe('the device list in qemu.conf', () => {
  const libvirt = (text: string): Tree => ({ ...desktop, '/etc/libvirt/qemu.conf': text });

  it.each([
    ['commented out', '#cgroup_device_acl = [\n#    "/dev/null"\n#]\n', '"/dev/null"'],
    [
      'extended by hand',
      'cgroup_device_acl = [\n  "/dev/null", # "/dev/kvmfr0"\n  "/dev/mine"\n]\n',
      '"/dev/mine"',
    ],
    ['empty', '', '"/dev/kvm"'],
  ])('gets the node into a list that is %s', async (_, text, kept) => {
    using host = new HostTree(libvirt(text));
    await applyHost(host.environment(), readDesiredState({ kvmfr: { sizesMb: [64, 64] } }));
    const active = (host.read('/etc/libvirt/qemu.conf') ?? '').replace(/#.*$/gm, '');
    for (const node of ['"/dev/kvmfr0"', '"/dev/kvmfr1"', kept]) expect(active).toContain(node);
    await rollbackHost(host.environment());
    expect(host.read('/etc/libvirt/qemu.conf')).toBe(text);
  });

  it('fails visibly where the list cannot be read', async () => {
    const made = await plan(libvirt('cgroup_device_acl = [ oops\n'), { kvmfr: { sizesMb: [64] } });
    expect(stateOf(made, 'kvmfr.libvirt')).toBe('conflicting');
  });
});

it('the SELinux module opens the type of the nodes alone, and relabels', async () => {
  const selinux = {
    ...desktop,
    '/sys/fs/selinux/enforce': '1',
    '/usr/sbin/semodule': { program: ':' },
  };
  const { actions } = await plan(selinux, { kvmfr: { sizesMb: [64] } });
  const policy = actions.find(({ id }) => id.endsWith('.cil'))?.wanted ?? '';
  expect(policy).toContain('qmplug_kvmfr_device_t');
  expect(policy).not.toMatch(/allow \S+ device_t/);
  const ran = actions.flatMap(({ argv = [] }) => argv.map((words) => words[0]));
  expect(ran).toEqual(expect.arrayContaining(['semodule', 'restorecon']));
});

it('the module and the labels go again with a rollback', async () => {
  using host = new HostTree({
    ...desktop,
    '/sys/fs/selinux/enforce': '1',
    // Stand-in: keeps the list of modules in a file (semodule(8)).
    '/usr/sbin/semodule': {
      program:
        'f="$ROOT/var-modules"; case $1 in -l) cat "$f" 2>/dev/null; true ;; -i) echo qmplug_kvmfr >"$f" ;; -r) rm "$f" ;; esac',
    },
    '/usr/sbin/restorecon': { program: 'echo restorecon >>"$ROOT/calls"' },
  });
  const before = host.fingerprint();
  await applyHost(host.environment(), readDesiredState({ kvmfr: { sizesMb: [64] } }));
  expect(host.read('/var-modules')).toBe('qmplug_kvmfr\n');
  expect((await rollbackHost(host.environment())).refused).toEqual([]);
  expect(host.fingerprint()).toEqual(before);
  expect(host.calls()).toEqual(['restorecon', 'restorecon']);
});

it('a regular file at /dev/kvmfr0 is told before a VM starts on it', async () => {
  using host = new HostTree({ ...desktop, '/dev/kvmfr0': 'picture' });
  const made = await planHost(host.environment(), readDesiredState({ kvmfr: { sizesMb: [64] } }));
  expect(made.items.find(({ id }) => id === 'kvmfr.node')).toMatchObject({ state: 'conflicting' });
});

it.each([
  ['on', '\u0006\0\0\0\u0001', true],
  ['off', '\u0006\0\0\0\0', false],
])('a module that is missing has to be signed with Secure Boot %s', async (_, value, isSigned) => {
  const efivar = 'SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c';
  const tree = { ...trees.debian, [`/sys/firmware/efi/efivars/${efivar}`]: value };
  const made = await plan(tree, { kvmfr: { sizesMb: [64] } });
  const item = made.items.find(({ id }) => id === 'kvmfr.module');
  expect(item?.state).toBe('unmet');
  expect(item?.remedy?.includes('sign it')).toBe(isSigned);
});

it('several devices are counted from 0, everywhere', async () => {
  const tree = {
    ...desktop,
    '/etc/libvirt/qemu.conf': '',
    '/sys/kernel/security/apparmor/profiles': '',
  };
  const made = await plan(tree, { kvmfr: { sizesMb: [32, 64, 128] } });
  const text = wantedText(made);
  for (const index of [0, 1, 2]) expect(text).toContain(`/dev/kvmfr${index}`);
  expect(text).not.toContain('/dev/kvmfr3');
  expect(text).toContain('static_size_mb=32,64,128');
});

describe('the node that QEMU and the viewer open', () => {
  const desired = { kvmfr: { sizesMb: [64] } };

  it('is waited for until a boot has loaded the module', async () => {
    using host = new HostTree(desktop);
    const { items, needsReboot } = await applyHost(host.environment(), readDesiredState(desired));
    expect(stateOf({ items }, 'kvmfr.node')).toBe('pending-reboot');
    expect(needsReboot).toBe(true);
  });

  it.each([
    ['root:root 0600', { uid: 0, gid: 0, mode: 0o600 }, 'unmet'],
    ['root:kvm 0660', { uid: 0, gid: 108, mode: 0o660 }, 'ok'],
    ['root:kvm 0600', { uid: 0, gid: 108, mode: 0o600 }, 'unmet'],
  ])('is %s: told by the node, not by the rule', async (_, stat, state) => {
    using host = new HostTree(desktop);
    const environment = host.environment();
    const node: HostStat = { kind: 'character', ...stat, rdev: undefined, inode: 1n };
    // A device node takes root: the tree has everything but this one.
    const effects: HostEffects = new Proxy(environment.effects, {
      get: (real, name: keyof HostEffects) =>
        name === 'stat'
          ? async (path: string) => (path === '/dev/kvmfr0' ? node : real.stat(path))
          : real[name].bind(real),
    });
    const withNode = { ...environment, effects };
    await applyHost(withNode, readDesiredState(desired));
    const plan = await planHost(withNode, readDesiredState(desired));
    expect(stateOf(plan, 'kvmfr.node')).toBe(state);
  });
});

describe('a service that may open only what it lists', () => {
  const desired = {
    kvmfr: { sizesMb: [64, 64] },
    memlock: [{ unit: 'vm@1.service', limit: '8G' }],
  };
  const path = '/etc/systemd/system/vm@1.service.d/50-qmplug-kvmfr.conf';

  it.each([
    ['closed', '[Service]\nDevicePolicy=closed\n'],
    ['listed', '[Service]\nDeviceAllow=/dev/kvm rw\n'],
  ])('gets the nodes onto its list: %s', async (_, text) => {
    using host = new HostTree({ ...desktop, '/usr/lib/systemd/system/vm@.service': text });
    const before = host.fingerprint();
    await applyHost(host.environment(), readDesiredState(desired));
    expect(host.read(path)).toContain('DeviceAllow=/dev/kvmfr0 rw\nDeviceAllow=/dev/kvmfr1 rw\n');
    expect((await applyHost(host.environment(), readDesiredState(desired))).steps).toEqual([]);
    await rollbackHost(host.environment());
    expect(host.fingerprint()).toEqual(before);
  });

  it('gets none where it lists none: a list would take all other devices from it', async () => {
    using host = new HostTree(desktop);
    await applyHost(host.environment(), readDesiredState(desired));
    expect(host.read(path)).toBeUndefined();
  });
});

it('gets a line for each node into the profile of libvirt (AppArmor), and out of it', async () => {
  using host = new HostTree({
    ...desktop,
    '/etc/libvirt/qemu.conf': '',
    '/sys/kernel/security/apparmor/profiles': '',
    '/etc/apparmor.d/local/abstractions/libvirt-qemu': '/dev/mine rw,\n',
  });
  const before = host.fingerprint();
  await applyHost(host.environment(), readDesiredState({ kvmfr: { sizesMb: [64, 64] } }));
  expect(host.read('/etc/apparmor.d/local/abstractions/libvirt-qemu')).toBe(
    '/dev/mine rw,\n# BEGIN qmplug\n/dev/kvmfr0 rw,\n/dev/kvmfr1 rw,\n# END qmplug\n',
  );
  await rollbackHost(host.environment());
  expect(host.fingerprint()).toEqual(before);
});
