import { exists } from '../../host/reading.js';
import { findArguments, listElements } from '../../host/setup/command-line.js';
import {
  findInitramfsBackend,
  findKernels,
  readInitramfs,
} from '../../host/setup/read-initramfs.js';
import { EARLY_RULE } from '../../host/setup/wants/places.js';
import { moduleName } from '../../host/setup/facts.js';
import type { HostCheck, HostReads } from '../check.js';
import { fail, ok, seen, skip, unknownAnswer, type Evidence } from '../finding.js';
import { readCommandLine, readModule } from '../read-module.js';
import { readEarlyIds } from './vfio-modules.js';

/** Where a device is to be with vfio-pci before its native driver, that has to be in the first image too. */
export const vfioInitramfs: HostCheck = {
  id: 'vfio.initramfs',
  about: 'whether vfio-pci is in the initramfs, where devices are to be bound early',
  needs: 'host',
  needsRoot: true,
  async run(reads) {
    const { effects, setup } = reads;
    const wanted = await findEarlyWish(reads);
    if (wanted === undefined) return skip('nothing asks for early binding');
    const { state } = await readModule(effects, 'vfio_pci');
    if (state === 'builtin') return ok('vfio_pci is built into the kernel', wanted);
    if (setup === undefined) {
      return unknownAnswer('the initramfs of a stand-in tree cannot be read', undefined, wanted);
    }
    const next = [...(await findKernels(setup)).keys()].at(-1) ?? '';
    const image = await readInitramfs(setup, await findInitramfsBackend(setup), next);
    if (!image.listing.known) {
      return unknownAnswer(image.listing.reason, 'run as root', wanted);
    }
    const isInside = image.listing.value.some((line) => moduleName(line).includes('vfio_pci'));
    const read = [wanted, seen(image.path, isInside ? 'has vfio_pci' : 'no vfio_pci')];
    return isInside
      ? ok('the initramfs has it', ...read)
      : fail(
          'the initramfs has no vfio_pci: a native driver takes the device first',
          'name the device under "early" in a desired state, then: qmplug host apply FILE; reboot',
          ...read,
        );
  },
};

async function findEarlyWish({ effects, desired }: HostReads): Promise<Evidence | undefined> {
  const early = desired?.early?.find(({ method }) => method !== 'none');
  if (early !== undefined) return seen('desired state', `early: ${early.device}`);
  const line = await readCommandLine(effects);
  const ids = listElements(line, 'vfio_pci.ids');
  if (ids.length > 0) return seen('/proc/cmdline', `vfio-pci.ids=${ids.join(',')}`);
  const pre = findArguments(line, 'rd.driver.pre').find(({ value = '' }) =>
    value.split(',').some((name) => name.replaceAll('-', '_') === 'vfio_pci'),
  );
  if (pre !== undefined) return seen('/proc/cmdline', pre.text);
  if (await exists(effects, EARLY_RULE)) return seen(EARLY_RULE, 'present');
  return readEarlyIds(effects);
}
