import { describe, expect, it } from 'vitest';
import { HostIoError } from '../../src/host/effects.js';
import { lastKernelMessages, parseKernelLog } from '../../src/host/kernel-log.js';
import { Quarantine } from '../../src/host/quarantine.js';
import { withQuarantine } from '../../src/host/quarantined-effects.js';
import { unbind } from '../../src/host/binding.js';
import { toBdf } from '../../src/pci/pci-address.js';
import {
  ACCELERATOR,
  createHostWorld,
  environmentOf,
  onVm,
  runTask,
} from '../hotplug/simulated.js';

const NIC = '0000:05:00.0';
const logOf = (...records: readonly string[]) =>
  records.map((text, index) => `6,${index},${index + 1}000000,-;${text}\n`).join('');
const hostWith = (log: string) => ({ read: () => Promise.resolve(log) });
const messages = (log: string, subject = NIC) => lastKernelMessages(hostWith(log), subject);

describe('the records of /dev/kmsg', () => {
  it('have a time, a text and, on lines of their own, what they are about', () => {
    const log =
      '6,339,5140900,-;vfio: ready\n' +
      '4,340,5690716,c,caller=T1;e1000e 0000:05:00.0 eth0: link; down\n' +
      ' SUBSYSTEM=pci\n DEVICE=+pci:0000:05:00.0\n';
    expect(parseKernelLog(log)).toEqual([
      { atUs: 5_140_900n, text: 'vfio: ready', device: undefined },
      {
        atUs: 5_690_716n,
        text: 'e1000e 0000:05:00.0 eth0: link; down',
        device: '+pci:0000:05:00.0',
      },
    ]);
  });

  it.each(['', '\n', 'nonsense', ' DEVICE=+pci:x', '6,1;x', '6,1,-5,-;x', 'a,b,c,d;e'])(
    'are none in %j',
    (text) => {
      expect(parseKernelLog(text)).toEqual([]);
    },
  );
});

describe('what the kernel said last of a device', () => {
  it('is a handful, the oldest first', async () => {
    const many = Array.from({ length: 400 }, (_, index) => `vfio-pci ${NIC}: event ${index}`);
    const last = await messages(logOf(...many, 'something else'));
    expect(last).toEqual({
      known: true,
      value: [395, 396, 397, 398, 399].map(
        (index) => `[  ${index + 1}.000000] vfio-pci ${NIC}: event ${index}`,
      ),
    });
  });

  it('names it itself and by itself', async () => {
    const others = logOf(
      'vfio-pci 10000:05:00.0: another domain',
      'vfio-pci 0000:05:00.01: nothing',
      'vfio_pci_core: loaded',
      'of no device\n DEVICE=+pci:0000:06:00.0',
    );
    expect(await messages(others)).toEqual({ known: true, value: [] });
    expect(await messages(others, 'vfio_pci')).toEqual({ known: true, value: [] });
    const told = logOf('a text without it\n DEVICE=+pci:0000:05:00.0', `${NIC}: with it`);
    expect(await messages(told)).toMatchObject({
      value: ['[    1.000000] a text without it', `[    2.000000] ${NIC}: with it`],
    });
  });

  it('is short, and safe to print', async () => {
    const last = await messages(logOf(`${NIC} \u001b[31m${'x'.repeat(5_000)}`));
    const [line = ''] = last.known ? last.value : [];
    expect(line).not.toContain('\u001b');
    expect(line.length).toBeLessThan(300);
  });

  it.each([
    ['EPERM', false],
    ['ENOENT', false],
    ['ETIMEDOUT', true],
  ])('is unknown where the log answers %s', async (errno, stuck) => {
    const failure = new HostIoError(errno, 'read', '/dev/kmsg', { stuck });
    const last = await lastKernelMessages({ read: () => Promise.reject(failure) }, NIC);
    expect(last).toEqual({ known: false, reason: `read /dev/kmsg: ${errno}` });
  });
});

describe('an unbind that does not come back', () => {
  async function stuckUnbind(fault?: 'unreadable') {
    const world = createHostWorld({ seed: 1, guest: { kind: 'none' } });
    await onVm(world, (vm) => vm.attach({ device: ACCELERATOR }));
    if (fault) {
      world.faults.add({ fault: 'read-fails', at: { path: /kmsg/ }, errno: 'EPERM' });
    }
    const process = world.startController();
    const { effects, runtime, liveness } = environmentOf(process);
    const host = withQuarantine(effects, new Quarantine(runtime, liveness));
    const work = runTask(world, process, () => unbind(host, toBdf(ACCELERATOR)));
    return work.then(
      () => undefined,
      (error: unknown) => error,
    );
  }

  it('tells what the kernel said last', async () => {
    const said = expect.stringMatching(
      /^\[ *\d+\.\d{6}\] vfio-pci 0000:05:00\.0: Relaying device request to user \(#0\)$/,
    ) as unknown;
    expect(await stuckUnbind()).toMatchObject({
      code: 'STUCK',
      message: expect.stringContaining('the kernel last said: [') as unknown,
      details: { subject: ACCELERATOR, kernelLog: [said] },
    });
  });

  it('tells why that cannot be read', async () => {
    expect(await stuckUnbind('unreadable')).toMatchObject({
      code: 'STUCK',
      message: expect.stringContaining('cannot be read: read /dev/kmsg: EPERM') as unknown,
      details: { kernelLogUnread: 'read /dev/kmsg: EPERM' },
    });
  });
});
