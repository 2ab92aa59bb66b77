import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { CliHome } from './run-cli.js';
import { Serving, SocketClient } from './sockets.js';
import { eventually } from '../support/eventually.js';

let home: CliHome;
const at = (name: string) => join(home.directory, name);
beforeEach(() => {
  home = new CliHome();
});
afterEach(() => {
  home[Symbol.dispose]();
});

const simulate = (...args: string[]) =>
  new Serving(home, ['simulate', '--listen', at('vm.sock'), ...args]).until('emulated devices');

it.each([
  ['7.2', 'acpi'],
  ['7.2', 'native'],
  ['10.0', 'acpi'],
])('a simulated QEMU %s, %s, takes a device and gives it back', async (qemu, hotplug) => {
  await using simulated = await simulate('--qemu', qemu, '--hotplug', hotplug, '--ports', '2');
  const practice = ['--device', '{"driver":"pci-testdev"}', '--id', 'd0', '--wait', 'placed'];
  expect(await home.json(['attach', at('vm.sock'), ...practice])).toMatchObject({
    status: 0,
    document: { attachment: { functions: [{ id: 'd0', port: 'rp0' }] } },
  });
  const { document } = await home.json(['status', at('vm.sock')]);
  expect(document).toMatchObject({ ports: [{ id: 'rp0', state: 'used' }, { state: 'free' }] });
  expect(await home.json(['detach', at('vm.sock'), 'd0'])).toMatchObject({
    status: 0,
    document: { removals: [{ id: 'd0', state: 'unplugged' }] },
  });
  expect((await simulated.stop()).status).toBe(0);
});

it('tells what it is, and ends when a client says quit', async () => {
  const simulated = await simulate('--guest', 'none', '--json', '--listen', at('other.sock'));
  using client = new SocketClient(at('other.sock'));
  await client.ask({ execute: 'qmp_capabilities' });
  await client.ask({ execute: 'quit' });
  const { status, stdout } = await simulated.done;
  expect(status).toBe(0);
  expect(JSON.parse(stdout)).toEqual({
    simulating: {
      qemu: '7.2.22',
      machine: 'q35',
      listen: [`unix:${at('vm.sock')}`, `unix:${at('other.sock')}`],
      ports: ['rp0', 'rp1', 'rp2', 'rp3'],
      guest: 'none',
    },
  });
});

it('gives no host device to a simulated VM, and says why', async () => {
  await using simulated = await simulate();
  const device = at('sys/bus/pci/devices/0000:00:1f.0');
  mkdirSync(device, { recursive: true });
  const files = { vendor: '0x8086', device: '0x1234', class: '0x020000', resource: '', config: '' };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(device, name), `${text}\n`);
  const env = { QMPLUG_SYSFS_ROOT: at('sys') };
  const { status, document } = await home.json(['attach', at('vm.sock'), '0000:00:1f.0'], { env });
  expect({ status, document }).toMatchObject({ status: 3 });
  expect(document.error).toMatchObject({ code: expect.stringMatching(/^[A-Z_]+$/) as unknown });
  expect(simulated.stderr).toContain('no host device can be given');
});

it('events tells devices and events line by line, until it is stopped', async () => {
  await using simulated = await simulate('--listen', at('other.sock'));
  const stop = new AbortController();
  let told = '';
  const watching = home.run(['events', at('other.sock'), '--json', '--interval', '0.1'], {
    onStdout: (text) => (told += text),
    signal: stop.signal,
  });
  const untilTold = (text: string) => eventually(() => expect(told).toContain(text));
  await untilTold('"kind":"state"');
  await home.run(['attach', at('vm.sock'), '--device', '{"driver":"pci-testdev"}', '--id', 'd0']);
  await untilTold('"kind":"attached"');
  await home.run(['detach', at('vm.sock'), 'd0']);
  await untilTold('"kind":"detached"');
  await untilTold('"event":"DEVICE_DELETED"');
  stop.abort();
  const { status, stdout } = await watching;
  expect((await simulated.stop()).status).toBe(0);
  const kinds = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
    .map(({ kind, event, id, port }) => [kind, event ?? id, port].filter(Boolean).join(' '));
  expect(kinds.slice(0, 2)).toEqual(['state', 'attached d0 rp0']);
  // A look may find the device gone in the moment before QEMU tells it.
  expect(kinds.slice(2).sort()).toEqual(['detached d0 rp0', 'event DEVICE_DELETED']);
  expect(status).toBe(0);
});

it('events of a VM that is killed end with status 3, and of one that is not there too', async () => {
  const simulated = await simulate();
  const watching = new Serving(home, ['events', at('vm.sock')]);
  await new Promise((resolve) => setImmediate(resolve));
  await simulated.stop();
  expect((await watching.done).status).toBe(3);
  expect((await home.run(['events', at('vm.sock')])).status).toBe(3);
});

it('transcript check, show and import work on files', async () => {
  const log = at('a.log');
  writeFileSync(log, '-> {"execute":"stop"}\n<- {"return":{}}\n');
  const made = at('a.jsonl');
  const imported = await home.json(['transcript', 'import', log, '--qemu', '7.2.22', '-o', made]);
  expect(imported).toMatchObject({
    status: 0,
    document: { format: 'lines', file: made, messages: 5 },
  });
  expect(await home.json(['transcript', 'check', made])).toMatchObject({
    status: 0,
    document: { files: [{ file: made, messages: 5, sessions: 1, findings: [] }] },
  });
  const shown = await home.run(['transcript', 'show', made]);
  expect(shown.stdout.split('\n')[4]).toMatch(/^5 {2}0 ms {2}-> stop$/);
  writeFileSync(made, readFileSync(made, 'utf8').replace('{"execute":"stop"}', '{"stop":1}'));
  expect(await home.run(['transcript', 'check', made])).toMatchObject({
    status: 3,
    stdout: `${made}:5: msg names no command\n`,
  });
});
