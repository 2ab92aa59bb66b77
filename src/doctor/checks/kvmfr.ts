import type { HostEffects } from '../../host/effects.js';
import { ifPresent } from '../../host/reading.js';
import { listElements } from '../../host/setup/command-line.js';
import { modprobeOption } from '../../host/setup/modprobe.js';
import type { HostCheck, Subject } from '../check.js';
import { fail, ok, seen, skip, warn, type Evidence } from '../finding.js';
import { readCommandLine, readModprobeLines, readModule } from '../read-module.js';

const PARAMETER = 'kvmfr.static_size_mb';
const NOT_WANTED = `nothing sets ${PARAMETER}`;

interface Sizes {
  readonly sizes: readonly string[];
  readonly source: Evidence;
}

/** The parameter cannot be read back (permission 0, kvmfr 0.0.12): its sources say what it is. */
async function readSizes(effects: HostEffects) {
  const words = listElements(await readCommandLine(effects), PARAMETER);
  const option = modprobeOption(await readModprobeLines(effects), 'kvmfr', 'static_size_mb');
  const line: Sizes | undefined =
    words.length === 0
      ? undefined
      : { sizes: words, source: seen('/proc/cmdline', `${PARAMETER}=${words.join(',')}`) };
  const file: Sizes | undefined =
    option === undefined
      ? undefined
      : {
          sizes: option.value.split(',').filter(Boolean),
          source: seen(option.path, `static_size_mb=${option.value}`),
        };
  return { line, file };
}

const moduleCheck: HostCheck = {
  id: 'kvmfr.module',
  about: 'whether the module kvmfr is there, where it is configured',
  needs: 'host',
  async run({ effects }) {
    const { line, file } = await readSizes(effects);
    if (line === undefined && file === undefined) return skip(NOT_WANTED);
    const { state, read } = await readModule(effects, 'kvmfr');
    if (state === 'loaded' || state === 'builtin') return ok(`it is ${state}`, ...read);
    return state === 'loadable'
      ? warn('it is not loaded', 'modprobe kvmfr', ...read)
      : fail(`it is ${state}`, 'install it (dkms install kvmfr), or remove its options', ...read);
  },
};

const device: HostCheck = {
  id: 'kvmfr.device',
  about: 'whether there is a `/dev/kvmfr` device, no file, for each configured size',
  needs: 'host',
  async run({ effects }) {
    const { line, file } = await readSizes(effects);
    const wanted = line ?? file;
    if (wanted === undefined) return skip(NOT_WANTED);
    const nodes = wanted.sizes.map((_, index) => `/dev/kvmfr${index}`);
    const stats = await Promise.all(nodes.map((node) => ifPresent(effects.stat(node))));
    const read = nodes.map((node, index) => seen(node, stats[index]?.kind ?? 'absent'));
    const forged = nodes.find((_, index) => stats[index]?.kind === 'file');
    if (forged !== undefined) {
      const remedy = `stop the VM, then: rm ${forged}; modprobe kvmfr`;
      return fail(`${forged} is a file that QEMU made, and no device`, remedy, ...read);
    }
    const missing = nodes.find((_, index) => stats[index]?.kind !== 'character');
    return missing === undefined
      ? ok('all are there', ...read)
      : fail(
          `${missing} is not there`,
          'modprobe -r kvmfr; modprobe kvmfr',
          wanted.source,
          ...read,
        );
  },
};

const size: HostCheck = {
  id: 'kvmfr.size',
  about: 'whether the sizes of kvmfr are powers of two, and set in one place',
  needs: 'host',
  async run({ effects }) {
    const { line, file } = await readSizes(effects);
    const sources = [line, file].filter((each) => each !== undefined);
    if (sources.length === 0) return skip(NOT_WANTED);
    const read = sources.map(({ source }) => source);
    if (line !== undefined && file !== undefined && String(line.sizes) !== String(file.sizes)) {
      return warn('two places set different sizes', 'remove one of the two', ...read);
    }
    const odd = sources
      .flatMap(({ sizes }) => sizes)
      .find((each) => !/^\d+$/.test(each) || !isPower(Number(each)));
    return odd === undefined
      ? ok('powers of two, set once', ...read)
      : warn(`${odd} is no power of two`, `set ${PARAMETER} to 32, 64, 128 or 256`, ...read);
  },
};

const isPower = (value: number) => value > 0 && Number.isInteger(Math.log2(value));

export const kvmfrSubject: Subject = { name: 'kvmfr', checks: [moduleCheck, device, size] };
