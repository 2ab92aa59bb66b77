import { readDriver } from '../../host/pci-function.js';
import { isVfioDriver } from '../../host/vfio-drivers.js';
import type { DeviceCheck } from '../check.js';
import { fail, ok, seen, skip, unknownAnswer } from '../finding.js';

/** A PF in user space makes its VFs ask for its token: Linux drivers/vfio/pci/vfio_pci_core.c, vfio_pci_validate_vf_token. */
export const vfToken: DeviceCheck = {
  id: 'dev.vf_token',
  about:
    'of a virtual function: whether its physical function is with VFIO too, and so asks for a token',
  needs: 'device',
  async run({ effects, record: { sriov } }) {
    if (!sriov.known) return unknownAnswer(sriov.reason);
    const pf = sriov.value.physfn;
    if (sriov.value.role !== 'vf' || pf === undefined) return skip('it is no virtual function');
    const driver = await readDriver(effects, pf);
    const read = seen(`/sys/bus/pci/devices/${pf}/driver`, driver ?? 'none');
    return driver !== undefined && isVfioDriver(driver)
      ? fail(
          `${pf} is on ${driver}: its virtual functions can be opened with its token alone`,
          `attach it with the token that its user has set: --vf-token UUID; or give ${pf} back to its own driver`,
          read,
        )
      : ok(`${pf} is not with VFIO`, read);
  },
};
