import type { InnerQemu, VfioHost } from './vfio-host.js';

/** One boundary of a kill sweep, as test/programs/kill-sweep.mjs prints it. */
export interface SweepLine {
  readonly operation: string;
  readonly boundary: number | 'none';
  readonly mend: string;
  /** What was not as it should be, field by field. */
  readonly problem?: string;
}

/** Runs the sweep of one device on a machine with VFIO, killed in it at every boundary. */
export async function sweepOn(
  host: VfioHost,
  vm: InnerQemu,
  device: string,
  deadlineMs: number,
): Promise<readonly SweepLine[]> {
  const specification = {
    address: vm.qmpPath,
    otherAddress: vm.otherQmpPath,
    qemuPid: vm.pid,
    request: { device },
  };
  const { stdout, stderr } = await host.run(
    ['node', 'test/programs/kill-sweep.mjs', JSON.stringify(specification)],
    { deadlineMs },
  );
  return parseSweep(stdout, stderr);
}

/** @throws when the program did not come to its end. */
export function parseSweep(stdout: string, stderr: string): readonly SweepLine[] {
  if (stderr !== '') throw new Error(`the sweep broke off: ${stderr}\nafter: ${stdout}`);
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as SweepLine);
}

/** How many boundaries of an operation were killed at. */
export function boundariesOf(lines: readonly SweepLine[], operation: string): number {
  return (
    new Set(lines.filter((line) => line.operation === operation).map((line) => line.boundary))
      .size - (operation === 'detach' ? 1 : 0)
  );
}
