import { requireCapability } from '../../scripts/lab/capability.mjs';
import {
  bootVfioHost as boot,
  type VfioHost,
  type VfioHostOptions,
} from '../../scripts/lab/vfio-host.mjs';

export type { InnerQemu } from '../../scripts/lab/inner-qemu.mjs';
export type { VfioHost, VfioHostOptions };

/**
 * A Linux host with an IOMMU, inside QEMU, that shares this machine's files: Node, QEMU, the checkout
 * and its `dist`. Ready in about 20 s; boot one per file and run many scenarios in it.
 *
 * @throws where the lab is not set up, or the host does not come up.
 */
export async function bootVfioHost(options: VfioHostOptions = {}): Promise<VfioHost> {
  requireCapability('vfio-host');
  return boot(options);
}
