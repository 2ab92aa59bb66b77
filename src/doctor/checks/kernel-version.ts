import { findArguments } from '../../host/setup/command-line.js';
import type { HostCheck } from '../check.js';
import { ok, seen, warn } from '../finding.js';
import { readCommandLine } from '../read-module.js';

interface Feature {
  readonly name: string;
  readonly since: readonly [major: number, minor: number];
}

/** `pci=config_acs=`: Linux Documentation/admin-guide/kernel-parameters.txt, first in 6.12. */
const CONFIG_ACS: Feature = { name: 'pci=config_acs=', since: [6, 12] };
/** Linux drivers/vfio/device_cdev.c, first in 6.6. */
const CDEV: Feature = { name: 'VFIO by iommufd', since: [6, 6] };

export const kernelVersion: HostCheck = {
  id: 'kernel.version',
  about: 'whether the kernel is new enough for what is asked of it',
  needs: 'host',
  async run({ effects, vm }) {
    const path = '/proc/sys/kernel/osrelease';
    const release = (await effects.read(path)).trim();
    const acs = findArguments(await readCommandLine(effects), 'pci').find(({ value = '' }) =>
      value.includes('config_acs='),
    );
    const iommufd = [...(vm?.objects.values() ?? [])].includes('iommufd');
    const asked = [
      ...(acs === undefined ? [] : [{ feature: CONFIG_ACS, by: seen('/proc/cmdline', acs.text) }]),
      ...(iommufd ? [{ feature: CDEV, by: seen('objects of the VM', 'iommufd') }] : []),
    ];
    const missing = asked.find(({ feature }) => isOlder(release, feature.since));
    if (missing === undefined) return ok(release, seen(path, release));
    const { name, since } = missing.feature;
    return warn(
      `${name} is asked for, and came with Linux ${since.join('.')}`,
      `boot a kernel from ${since.join('.')} on`,
      seen(path, release),
      missing.by,
    );
  },
};

function isOlder(release: string, [major, minor]: Feature['since']): boolean {
  const [, first, second] = /^(\d+)\.(\d+)/.exec(release) ?? [];
  const [a, b] = [Number(first), Number(second)];
  return a < major || (a === major && b < minor);
}
