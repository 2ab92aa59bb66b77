import type { HostEffects } from '../host/effects.js';
import { exists, ifPresent, readAttribute } from '../host/reading.js';
import { listElements } from '../host/setup/command-line.js';
import { modprobeOption } from '../host/setup/modprobe.js';
import { kvmfrSizeMb } from '../host/setup/wants/kvmfr-size.js';
import type { HostReads } from './check.js';
import { seen, type Evidence } from './finding.js';
import { readCommandLine, readModprobeLines } from './read-module.js';

export const PARAMETER = 'kvmfr.static_size_mb';

/** Sizes in MiB, one for each device, and where they stand. */
export interface Sizes {
  readonly sizes: readonly string[];
  readonly source: Evidence;
}

/** What says how many devices of which size there are. */
export interface KvmfrSizes {
  readonly line: Sizes | undefined;
  readonly file: Sizes | undefined;
  /** What the desired state asks for. */
  readonly wanted: readonly number[];
  /** The one that counts: the kernel's command line goes before modprobe's options. */
  readonly effective: Sizes | undefined;
}

/** The parameter cannot be read back (permission 0, kvmfr 0.0.12): its sources say what it is. */
export async function readSizes({
  effects,
  desired,
}: Pick<HostReads, 'effects' | 'desired'>): Promise<KvmfrSizes> {
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
  return { line, file, wanted: wantedSizes(desired), effective: line ?? file };
}

function wantedSizes(desired: HostReads['desired']): readonly number[] {
  const { enabled, sizesMb, resolutions = [], formula = 'larger' } = desired?.kvmfr ?? {};
  if (enabled === false) return [];
  return sizesMb ?? resolutions.map((picture) => kvmfrSizeMb(picture, formula));
}

/** Whether anybody asks for kvmfr: its options, or the desired state. */
export const isWanted = ({ effective, wanted }: KvmfrSizes): boolean =>
  effective !== undefined || wanted.length > 0;

/** Device nodes, one for each size: those that count, and else those that are wanted. */
export function nodesOf({ effective, wanted }: KvmfrSizes): readonly string[] {
  return (effective?.sizes ?? wanted).map((_, index) => `/dev/kvmfr${index}`);
}

/** Whether a kernel that asks for signatures takes the module. */
export async function readSignature({
  effects,
  setup,
}: Pick<HostReads, 'effects' | 'setup'>): Promise<{
  readonly state: 'loaded' | 'signed' | 'unsigned' | 'unknown';
  readonly read: Evidence;
}> {
  const path = '/sys/module/kvmfr';
  if (await exists(effects, path)) {
    const taint = (await readAttribute(effects, `${path}/taint`)) ?? '';
    return {
      state: 'loaded',
      read: seen(path, taint === '' ? 'loaded' : `loaded, taint ${taint}`),
    };
  }
  const program = await setup?.findProgram('modinfo');
  if (setup === undefined || program === undefined) {
    return { state: 'unknown', read: seen('modinfo kvmfr', 'no modinfo') };
  }
  const argv = [program, '-F', 'signer', 'kvmfr'];
  const { status, stdout } = await setup.run(argv, { deadlineMs: 10_000 });
  const signer = stdout.trim();
  const read = seen(argv.join(' '), status === 0 ? signer || 'no signer' : 'no such module');
  if (status !== 0) return { state: 'unknown', read };
  return { state: signer === '' ? 'unsigned' : 'signed', read };
}

/** Bytes that a process has mapped of a node; undefined where it has not. Needs the right to trace it. */
export async function readMappedBytes(
  effects: HostEffects,
  pid: number,
  node: string,
): Promise<bigint | undefined> {
  const maps = (await ifPresent(effects.read(`/proc/${pid}/maps`))) ?? '';
  const sizes = maps.split('\n').flatMap((line) => {
    const [, from, to, name] = /^([0-9a-f]+)-([0-9a-f]+) .*?(\/.*)$/.exec(line) ?? [];
    return name === node ? [BigInt(`0x${to}`) - BigInt(`0x${from}`)] : [];
  });
  return sizes.length === 0 ? undefined : sizes.reduce((sum, size) => sum + size, 0n);
}
