import type { DoctorRequest } from '../doctor/index.js';
import { createSetupHost } from '../host/setup/index.js';
import type { CommandContext } from './command-context.js';

/**
 * What the doctor looks at. Beside a tree that stands in for the host it starts no programs: those of this machine
 * would tell of another.
 */
export function doctorReads({
  environment: { effects, runtime, state },
  settings: { sysfsRoot, procRoot, devRoot },
}: CommandContext): Pick<DoctorRequest, 'effects' | 'runtime' | 'state' | 'setup'> {
  const isHere = [sysfsRoot, procRoot, devRoot].every((root) => root === undefined);
  return { effects, runtime, state, setup: isHere ? createSetupHost() : undefined };
}
