import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { HostIoError } from '../../src/host/effects.js';
import { createHostEffects } from '../../src/host/real-effects.js';
import { changeVf, isUnicastMac, openChange, parseVfSettings } from '../../src/host/vf-settings.js';

const mac = '52:54:00:12:34:56';
/** As iproute2 6.1 prints a PF with two VFs. */
const PRINTED = JSON.stringify([
  {
    ifindex: 4,
    ifname: 'eth0',
    vfinfo_list: [
      {
        vf: 0,
        link_type: 'ether',
        address: mac.toUpperCase(),
        broadcast: 'ff:ff:ff:ff:ff:ff',
        vlan_list: [{ vlan: 100, qos: 3 }],
        rate: { max_tx: 0, min_tx: 0 },
        spoofchk: true,
        'link-state': 'auto',
        trust: false,
      },
      { vf: 1, address: '00:00:00:00:00:00', vlan_list: [{}], spoofchk: 'off', trust: 'on' },
      { vf: 2, address: '00:00:00:00:00:00', vlan: 5 },
    ],
  },
]);

it('reads what ip(8) prints, of old and of new versions', () => {
  const none = '00:00:00:00:00:00';
  expect(parseVfSettings(PRINTED)).toEqual([
    { index: 0, mac, vlan: 100, trust: false, spoofCheck: true },
    { index: 1, mac: none, vlan: 0, trust: true, spoofCheck: false },
    { index: 2, mac: none, vlan: 5, trust: null, spoofCheck: null },
  ]);
  expect(parseVfSettings('[{"ifname":"lo"}]')).toEqual([]);
  for (const bad of ['', 'eth0: up', '[{"vfinfo_list":[{}]}]']) {
    expect(() => parseVfSettings(bad)).toThrow(
      expect.objectContaining({ code: 'HOST_UNREADABLE' }),
    );
  }
});

it.each([
  [mac, true],
  ['52:54:00:12:34:5G', false],
  ['53:54:00:12:34:56', false],
  ['00:00:00:00:00:00', false],
  ['52-54-00-12-34-56', false],
  ['', false],
])('%s is an address of one interface: %s', (text, expected) => {
  expect(isUnicastMac(text)).toBe(expected);
});

it('leaves out what is so already', () => {
  const now = { index: 0, mac, vlan: 100, trust: false, spoofCheck: null };
  const change = { mac: mac.toUpperCase(), vlan: 100, trust: true, spoofCheck: true };
  expect(openChange(now, change)).toEqual({ trust: true, spoofCheck: true });
  expect(openChange(now, {})).toEqual({});
});

const PATH = process.env['PATH'];
const folder = mkdtempSync(join(tmpdir(), 'qmplug-ip-'));
afterAll(() => {
  process.env['PATH'] = PATH;
  rmSync(folder, { recursive: true, force: true });
});

it('asks ip(8), one option for each change, and believes only what is read back', async () => {
  // The stand-in prints a file, and appends what it is told to another.
  const [program, state, log] = ['ip', 'state', 'log'].map((name) => join(folder, name));
  if (program === undefined || state === undefined || log === undefined) throw new Error('three');
  writeFileSync(state, PRINTED);
  writeFileSync(
    program,
    `#!/bin/sh\nif [ "$1" = -json ]; then cat ${state}; else echo "$*" >> ${log}; fi\n`,
  );
  chmodSync(program, 0o755);
  process.env['PATH'] = `${folder}:${PATH}`;
  const effects = createHostEffects();
  const vf = { netdev: 'eth0', index: 0 };
  await changeVf(effects, vf, { mac, vlan: 100 });
  await expect(
    changeVf(effects, vf, { mac: '52:54:00:00:00:01', vlan: 7, trust: true, spoofCheck: false }),
  ).rejects.toMatchObject({ code: 'HOST_IO', details: { setting: 'mac' } });
  expect(readFileSync(log, 'utf8')).toBe(
    'link set dev eth0 vf 0 mac 52:54:00:00:00:01 vlan 7 trust on spoofchk off\n',
  );
  await expect(changeVf(effects, { ...vf, index: 9 }, { vlan: 1 })).rejects.toMatchObject({
    code: 'HOST_IO',
  });
  for (const name of ['-json', '../eth0', 'a b', '..', '']) {
    await expect(effects.setVf(name, 0, { vlan: 1 })).rejects.toBeInstanceOf(HostIoError);
  }
});
