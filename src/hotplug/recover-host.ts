import type { Environment } from './environment.js';
import { recoverEnded, RecoveryReport } from './reconcile.js';
import type { RecoveryResult } from './requests.js';

/**
 * Gives back what VMs that have ended left behind on this host: drivers, nodes, reservations. A VM that may
 * still run is left alone, and so is a group that any process holds.
 */
export async function recoverHost(environment: Environment): Promise<RecoveryResult> {
  const report = new RecoveryReport();
  await recoverEnded(environment, report);
  return report.result;
}
