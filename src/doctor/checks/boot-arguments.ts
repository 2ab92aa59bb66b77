import { chooseBackend } from '../../host/setup/choose-backend.js';
import { findArguments, type KernelArgument } from '../../host/setup/command-line.js';
import type { HostCheck } from '../check.js';
import { fail, ok, seen, unknownAnswer, warn } from '../finding.js';
import { readCommandLine } from '../read-module.js';

/** Arguments that decide about VFIO; any other may differ without a word. */
const KEYS = [
  'intel_iommu',
  'amd_iommu',
  'iommu',
  'iommu.passthrough',
  'iommu.strict',
  'rd.driver.pre',
  'vfio_pci.ids',
  'vfio_pci.disable_vga',
  'vfio_pci.disable_idle_d3',
  'kvm.ignore_msrs',
  'kvm.report_ignored_msrs',
  'kvmfr.static_size_mb',
  'module_blacklist',
  'modprobe.blacklist',
  'rd.driver.blacklist',
  'split_lock_detect',
  'pcie_acs_override',
  'hugepagesz',
  'hugepages',
];

/** One argument as it runs and as the next boot will have it; undefined where it is absent. */
interface Difference {
  readonly running: string | undefined;
  readonly configured: string | undefined;
}

export const configuredVsRunning: HostCheck = {
  id: 'iommu.configured_vs_running',
  about: 'whether the arguments for VFIO are the same now and at the next boot',
  needs: 'host',
  async run({ effects, setup }) {
    const running = await readCommandLine(effects);
    if (setup === undefined) {
      return unknownAnswer('the boot configuration of a stand-in tree cannot be read');
    }
    const { backend, configured, menu } = await chooseBackend(setup);
    if (!configured.known) return unknownAnswer(configured.reason, 'run as root');
    if (backend.name === 'none') {
      return unknownAnswer('nothing here is known to configure the kernel arguments');
    }
    // What the boot loader reads counts, where it is made of the configuration and can be read.
    const next = menu?.known ? menu.value : configured.value.words;
    const differences = KEYS.map((key) => compare(key, running, next)).filter(
      (each) => each !== undefined,
    );
    const read = differences.flatMap(({ running: now, configured: then }) => [
      seen('/proc/cmdline', now ?? 'absent'),
      seen(backend.name, then ?? 'absent'),
    ]);
    const shown = differences.map((each) => each.configured ?? each.running).join(', ');
    const conflict = differences.find((each) => each.running && each.configured);
    if (conflict !== undefined) {
      const why = `${conflict.running} runs, and ${conflict.configured} is configured`;
      return fail(why, 'reboot, or configure what runs: qmplug host plan FILE', ...read);
    }
    if (differences.some((each) => each.configured !== undefined)) {
      return warn(`pending reboot: ${shown}`, 'reboot', ...read);
    }
    return differences.length > 0
      ? warn(`lost at the next boot: ${shown}`, 'configure it: qmplug host plan FILE', ...read)
      : ok('the same', seen('/proc/cmdline', 'read'), seen(backend.name, 'read'));
  },
};

function compare(
  key: string,
  running: readonly KernelArgument[],
  configured: readonly KernelArgument[],
): Difference | undefined {
  const now = wordsOf(running, key);
  const then = wordsOf(configured, key);
  return now.value === then.value ? undefined : { running: now.text, configured: then.text };
}

function wordsOf(line: readonly KernelArgument[], key: string) {
  const words = findArguments(line, key);
  return {
    text: words.length === 0 ? undefined : words.map(({ text }) => text).join(' '),
    value: words.map(({ value = '' }) => value.replaceAll('-', '_')).join(' '),
  };
}
