import { expect } from 'vitest';
import type { InnerQemu, VfioHost } from './vfio-host.js';

/** How a command line ended, and the document that it printed. */
export interface Answer {
  readonly status: number;
  readonly json: Readonly<Record<string, unknown>>;
  readonly stderr: string;
}

/** Runs the command line of `dist` in the host, with `--json`. */
export async function qmplug(
  host: VfioHost,
  args: readonly string[],
  options: { readonly deadlineMs?: number } = {},
): Promise<Answer> {
  const argv = ['node', 'dist/cli/main.js', ...args, '--json'];
  const { status, stdout, stderr } = await host.run(argv, options);
  if (stdout === '') throw new Error(`qmplug ${args.join(' ')} ended with ${status}: ${stderr}`);
  return { status, json: JSON.parse(stdout) as Answer['json'], stderr };
}

/** A command does what it is told; where it does not, its message is the failure. */
export async function succeeds(host: VfioHost, args: readonly string[]): Promise<Answer['json']> {
  const { status, json, stderr } = await qmplug(host, args);
  expect(status, stderr).toBe(0);
  return json;
}

/** Runs a program of test/programs in the host; its lines of JSON. What it says on its standard error fails it. */
export async function runProgram(
  host: VfioHost,
  name: string,
  args: readonly string[],
  options: { readonly deadlineMs?: number } = {},
): Promise<readonly unknown[]> {
  const { stdout, stderr } = await host.run(
    ['node', `test/programs/${name}.mjs`, ...args],
    options,
  );
  expect(stderr).toBe('');
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);
}

/**
 * All that qmplug may touch on the host: drivers, overrides, VFs, mdevs, nodes with owner and mode, memory limits of
 * its VMs, its own state. Every process that is started costs a tenth of a second there, hence few.
 */
export const hostState = (host: VfioHost): Promise<string> =>
  host.sh(`
    there=
    for path in /sys/bus/mdev/devices /run/qmplug/plans /run/qmplug/reservations /run/qmplug/quarantine; do
      if [ -e $path ]; then there="$there $path"; fi
    done
    find /sys/bus/pci/devices/*/driver /dev/vfio $there ! -type d -printf '%U %G %m %p %l\n'
    cd /sys/bus/pci/devices
    grep -s '' */driver_override */sriov_numvfs */sriov_drivers_autoprobe || true
    for process in /proc/[0-9]*; do
      read -r name <$process/comm || continue
      case $name in qemu-system*) grep 'locked memory' $process/limits ;; esac
    done 2>/dev/null
  `);

/** A command is refused: status 3, the code, the culprits by name, a remedy; and the host is as it was. */
export async function refuses(
  host: VfioHost,
  args: readonly string[],
  code: string,
  ...names: readonly string[]
): Promise<void> {
  const before = await hostState(host);
  const answer = await qmplug(host, args);
  expect(answer).toMatchObject({ status: 3, json: { error: { code } } });
  const { message, remedy } = errorOf(answer);
  for (const name of names) expect(message).toContain(name);
  expect(remedy).not.toBe('');
  expect(answer.stderr).toContain(message);
  expect(await hostState(host)).toBe(before);
}

export const errorOf = ({ json }: Answer) =>
  json['error'] as { code: string; message: string; remedy: string; details: object };

/** Ids of the devices of the host that a VM has. */
export async function devicesIn(vm: InnerQemu): Promise<readonly string[]> {
  const list: unknown = await vm.qmp.execute('qom-list', { path: '/machine/peripheral' });
  return (list as readonly { name: string; type: string }[])
    .filter(({ type }) => type === 'child<vfio-pci>')
    .map(({ name }) => name)
    .sort();
}

/** The number of a device's IOMMU group, as text. */
export async function groupOf(host: VfioHost, bdf: string): Promise<string> {
  const link = `/sys/bus/pci/devices/${bdf}/iommu_group`;
  return (await host.sh(`basename "$(readlink ${link})"`)).trim();
}
