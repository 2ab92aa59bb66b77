import { CHECKS, type Finding } from '../../src/doctor/index.js';
import { Patient, type Change } from './patient.js';

const needsOf = new Map(CHECKS.map(({ id, needs }) => [id, needs]));

/** What one check says of a host; undefined where it does not run. */
export async function answerOf(
  id: string,
  change: Change | undefined,
): Promise<Finding | undefined> {
  using patient = new Patient(change);
  const isOfDevice = ['device', 'pair'].includes(needsOf.get(id) ?? '');
  const findings = await patient.examine({
    only: [id],
    ...(isOfDevice ? {} : { device: undefined }),
  });
  return findings.find((finding) => finding.id === id);
}
