import { compareBdf, type Bdf } from '../../pci/pci-address.js';
import type { HostEffects } from '../effects.js';
import { readOpenFiles, type OpenFiles } from '../open-files.js';
import { reasonOf } from '../reading.js';
import type { HostDevice, UseFinding } from '../types.js';
import { blockGuard } from './block.js';
import { bridgeGuard } from './bridge.js';
import { consoleGuard } from './console.js';
import { deviceFileGuard } from './device-files.js';
import { displayGuard } from './display.js';
import { createGuardContext, unreadable, type Guard, type GuardContext } from './guard.js';
import { mdevGuard } from './mdev.js';
import { networkGuard } from './network.js';
import { sriovGuard } from './sriov.js';
import { tpmGuard } from './tpm.js';
import { usbGuard } from './usb.js';
import { vfioGuard } from './vfio.js';

const GUARDS: readonly Guard[] = [
  bridgeGuard,
  sriovGuard,
  mdevGuard,
  vfioGuard,
  blockGuard,
  networkGuard,
  displayGuard,
  consoleGuard,
  deviceFileGuard,
  usbGuard,
  tpmGuard,
];

/**
 * How the host uses the functions. The kernel unbinds whatever it is told to, so these findings are
 * the only thing between an attach and a lost file system. What cannot be read blocks like a use; each
 * finding can be allowed by its reason, and there is no way to allow them all.
 *
 * @returns an entry for every function asked about, blocking findings first; empty means free.
 */
export async function findUses(
  effects: HostEffects,
  bdfs: readonly Bdf[],
  seen: {
    readonly devices: ReadonlyMap<Bdf, HostDevice>;
    readonly files?: OpenFiles | undefined;
    /** QEMU of the VM in question: what it holds itself is no foreign use. */
    readonly vmPid?: number | undefined;
  },
): Promise<ReadonlyMap<Bdf, readonly UseFinding[]>> {
  const { devices, vmPid } = seen;
  const files = seen.files ?? (await readOpenFiles(effects));
  const context = await createGuardContext(effects, { devices, files, vmPid });
  const uses = new Map<Bdf, readonly UseFinding[]>();
  for (const bdf of [...bdfs].sort(compareBdf)) {
    const device = devices.get(bdf);
    uses.set(bdf, device === undefined ? [] : await runGuards(context, device));
  }
  return uses;
}

async function runGuards(
  context: GuardContext,
  device: HostDevice,
): Promise<readonly UseFinding[]> {
  const findings: UseFinding[] = [];
  for (const guard of GUARDS) {
    try {
      findings.push(...(await guard.find(context, device)));
    } catch (error) {
      findings.push(unreadable(device.bdf, guard.subject, reasonOf(error)));
    }
  }
  return findings.sort((a, b) => Number(a.level === 'warn') - Number(b.level === 'warn'));
}
