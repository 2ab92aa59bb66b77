import { RefusedError } from '../errors.js';
import type { DesiredState } from '../host/setup/index.js';
import type { Finding } from './finding.js';
import { runDoctor, type DoctorRequest } from './run-doctor.js';

/**
 * What fails or warns on a host that shall be as desired: its own checks, and those of each device that is to be bound
 * early. A selector that means several devices is for the plan to refuse.
 */
export async function examineDesired(
  request: Omit<DoctorRequest, 'device' | 'only' | 'vm'> & { readonly desired: DesiredState },
): Promise<readonly Finding[]> {
  const findings = [...(await runDoctor(request))];
  for (const { device, method } of request.desired.early ?? []) {
    if (method === 'none') continue;
    try {
      findings.push(...(await runDoctor({ ...request, device, only: ['dev'] })));
    } catch (error) {
      if (!(error instanceof RefusedError)) throw error;
    }
  }
  return findings.filter(({ verdict }) => verdict === 'fail' || verdict === 'warn');
}
