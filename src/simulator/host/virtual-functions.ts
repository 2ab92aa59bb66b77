import type { VfChange, VfSettings } from '../../host/effects.js';
import type { DriverCore } from './driver-core.js';
import { KernelError } from './errno.js';
import type { FunctionTable } from './function-table.js';
import { createFunction, type PciFunction } from './pci-function.js';
import { newVfSettings, readNumVfs, virtualFunction } from './sriov.js';

export interface VirtualFunctionsParts {
  readonly drivers: DriverCore;
  readonly functions: FunctionTable;
  /** Number of a group that nobody has yet. */
  readonly freeGroup: () => number;
}

/** SR-IOV: virtual functions coming and going, and what their physical function does for each. */
export class VirtualFunctions {
  readonly #parts: VirtualFunctionsParts;

  constructor(parts: VirtualFunctionsParts) {
    this.#parts = parts;
  }

  /** `sriov_numvfs`. */
  setNumber(pf: PciFunction, data: string): Promise<void> {
    return pf.lock.run(async () => {
      this.#parts.functions.mustExist(pf);
      const change = readNumVfs(pf, data);
      if (change === 'none') return;
      if (change.count === 0) await this.#disable(pf);
      else this.enable(pf, change.count);
    });
  }

  enable(pf: PciFunction, count: number): void {
    if (pf.sriov === undefined) return;
    const { drivers, functions, freeGroup } = this.#parts;
    pf.sriov.numVfs = count;
    pf.sriov.settings = newVfSettings(count);
    for (let index = 0; index < count; index++) {
      const vf = createFunction(virtualFunction(pf, index, freeGroup()), pf.bdf);
      functions.insert(vf);
      pf.virtfns.push(vf.bdf);
      if (pf.sriov.autoprobe) drivers.attach(vf);
    }
  }

  async #disable(pf: PciFunction): Promise<void> {
    const { drivers, functions } = this.#parts;
    for (const bdf of pf.virtfns) {
      const vf = functions.find(bdf);
      if (vf?.driver !== undefined) await drivers.release(vf);
      functions.drop(bdf);
    }
    pf.virtfns = [];
    if (pf.sriov) Object.assign(pf.sriov, { numVfs: 0, settings: [] });
  }

  /** IFLA_VF_*: asked of the PF's driver through its interface. @throws {KernelError} `ENODEV` */
  settingsOf(netdev: string): VfSettings[] {
    const pf = this.#parts.functions.all.find(({ config }) => config.netdevs?.includes(netdev));
    // The interface is the driver's.
    if (pf === undefined || pf.driver !== pf.config.nativeDriver) throw new KernelError('ENODEV');
    return pf.sriov?.settings ?? [];
  }

  /** @throws {KernelError} `EINVAL` for a VF that is not there, or a VLAN that is none. */
  set(netdev: string, index: number, change: VfChange): void {
    const settings = this.settingsOf(netdev);
    const now = settings.find((vf) => vf.index === index);
    if (now === undefined || (change.vlan ?? 0) > 4094) throw new KernelError('EINVAL');
    const {
      mac = now.mac,
      vlan = now.vlan,
      trust = now.trust,
      spoofCheck = now.spoofCheck,
    } = change;
    settings[settings.indexOf(now)] = { index, mac, vlan, trust, spoofCheck };
  }
}
