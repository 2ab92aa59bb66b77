import { describe, expect, it } from 'vitest';
import { CliHome } from '../cli/run-cli.js';
import { QEMU_VERSIONS, startQemu, type QemuProgram, type QemuVersion } from '../support/qemu.js';

interface Mode {
  readonly name: string;
  /** What `boot-args` is asked for. */
  readonly options: readonly string[];
  readonly program: QemuProgram;
  readonly machine: string;
  /** Versions that have no such machine or setting. */
  readonly without?: readonly QemuVersion[];
}

const X86 = { program: 'qemu-system-x86_64', machine: 'q35' } as const;

/** A line for each kind of ports that can be planned. */
const MODES: readonly Mode[] = [
  { name: 'root ports of a q35', options: ['--root-ports', '40'], ...X86 },
  {
    name: 'root ports with windows',
    options: ['--root-ports', '4', '--window', '4G', '--memory-window', '32M'],
    ...X86,
  },
  {
    name: 'native root ports',
    options: ['--root-ports', '4', '--hotplug', 'native'],
    ...X86,
    without: ['5.2'],
  },
];

describe.each(MODES)('$name', ({ options, program, machine, without = [] }) => {
  it.each(QEMU_VERSIONS.filter((version) => !without.includes(version)))(
    'start in QEMU %s, each free',
    async (version) => {
      using home = new CliHome();
      const planned = await home.json(['boot-args', '--memory', '128M', ...options]);
      expect(planned.status).toBe(0);
      const { args, ports } = planned.document as {
        args: readonly string[];
        ports: readonly { id: string }[];
      };
      await using qemu = await startQemu({ version, program, machine, args, paused: true });
      const status = await home.json(['status', qemu.qmpPath]);
      expect(status).toMatchObject({ status: 0, stderr: '' });
      const found = status.document.ports as readonly { id: string; state: string }[];
      const ids = ports.map(({ id }) => id).sort();
      expect(found.map(({ id }) => id).sort()).toEqual(ids);
      expect(new Set(found.map(({ state }) => state))).toEqual(new Set(['free']));
    },
  );
});
