import { ifPresent } from '../../host/reading.js';
import { readSecureBoot } from '../../host/setup/read-facts.js';
import type { HostCheck, HostReads, Subject } from '../check.js';
import { fail, ok, seen, skip, unknownAnswer, warn, type Answer } from '../finding.js';
import {
  isWanted,
  nodesOf,
  PARAMETER,
  readMappedBytes,
  readSignature,
  readSizes,
  type KvmfrSizes,
} from '../read-kvmfr.js';
import { readModule } from '../read-module.js';
import { kvmfrMac, kvmfrPerm } from './kvmfr-access.js';
import { kvmfrRule } from './kvmfr-rule.js';

const NOT_WANTED = `nothing sets ${PARAMETER}`;

const moduleCheck: HostCheck = {
  id: 'kvmfr.module',
  about: 'whether the module kvmfr is there, where it is configured or wanted',
  needs: 'host',
  async run(reads) {
    if (!isWanted(await readSizes(reads))) return skip(NOT_WANTED);
    const { state, read } = await readModule(reads.effects, 'kvmfr');
    if (state === 'loaded' || state === 'builtin') return ok(`it is ${state}`, ...read);
    return state === 'loadable'
      ? warn('it is not loaded', 'modprobe kvmfr', ...read)
      : fail(`it is ${state}`, 'install it (dkms install kvmfr), or remove its options', ...read);
  },
};

const readNodes = ({ effects }: HostReads, sizes: KvmfrSizes) =>
  Promise.all(
    nodesOf(sizes).map(async (node) => {
      const stat = await ifPresent(effects.stat(node));
      return { node, kind: stat?.kind ?? 'absent' };
    }),
  );

const device: HostCheck = {
  id: 'kvmfr.device',
  about: 'whether there is a `/dev/kvmfr` device for each configured size',
  needs: 'host',
  async run(reads) {
    const sizes = await readSizes(reads);
    if (!isWanted(sizes)) return skip(NOT_WANTED);
    const nodes = await readNodes(reads, sizes);
    const read = nodes.map(({ node, kind }) => seen(node, kind));
    const missing = nodes.filter(({ kind }) => kind !== 'character').map(({ node }) => node);
    if (missing.length === 0) return ok('all are there', ...read);
    const remedy = 'modprobe -r kvmfr; modprobe kvmfr';
    const why = `${missing.join(', ')} is not there`;
    const all = [...(sizes.effective === undefined ? [] : [sizes.effective.source]), ...read];
    return missing.length < nodes.length ? warn(why, remedy, ...all) : fail(why, remedy, ...all);
  },
};

/** A VM that starts before the module has QEMU make a plain file of that name (Looking Glass, "kvmfr" documentation). */
const isFile: HostCheck = {
  id: 'kvmfr.isfile',
  about: 'whether `/dev/kvmfr` is a device, and no file that QEMU made',
  needs: 'host',
  async run(reads) {
    const sizes = await readSizes(reads);
    if (!isWanted(sizes)) return skip(NOT_WANTED);
    const nodes = await readNodes(reads, sizes);
    const read = nodes.map(({ node, kind }) => seen(node, kind));
    const forged = nodes.find(({ kind }) => kind === 'file')?.node;
    return forged === undefined
      ? ok('no file is in the way', ...read)
      : fail(
          `${forged} is a file that QEMU made, and no device`,
          `stop the VM, then: rm ${forged}; modprobe kvmfr`,
          ...read,
        );
  },
};

const size: HostCheck = {
  id: 'kvmfr.size',
  about: 'whether the sizes of kvmfr are powers of two, set in one place, and what the VM has',
  needs: 'host',
  async run(reads) {
    const sizes = await readSizes(reads);
    const { line, file, effective } = sizes;
    if (effective === undefined) return skip(NOT_WANTED);
    const sources = [line, file].filter((each) => each !== undefined);
    const read = sources.map(({ source }) => source);
    if (line !== undefined && file !== undefined && String(line.sizes) !== String(file.sizes)) {
      return warn('two places set different sizes', 'remove one of the two', ...read);
    }
    const odd = effective.sizes.find((each) => !/^\d+$/.test(each) || !isPower(Number(each)));
    if (odd !== undefined) {
      return warn(`${odd} is no power of two`, `set ${PARAMETER} to 32, 64, 128 or 256`, ...read);
    }
    return (
      judgeWish(sizes) ?? (await judgeVm(reads, sizes)) ?? ok('powers of two, set once', ...read)
    );
  },
};

const isPower = (value: number) => value > 0 && Number.isInteger(Math.log2(value));

function judgeWish({ effective, wanted }: KvmfrSizes): Answer | undefined {
  const sizes = effective?.sizes.map(Number) ?? [];
  const read = effective === undefined ? [] : [effective.source];
  const remedy = `set ${PARAMETER}=${wanted.join(',')}, then reload the module`;
  const shown = `${sizes.join(',')} MiB are set, and ${wanted.join(',')} needed`;
  if (wanted.some((each, index) => (sizes[index] ?? 0) < each)) {
    return fail(`${shown}: the picture is cut off`, remedy, ...read);
  }
  const isLarger = wanted.some((each, index) => (sizes[index] ?? 0) > each);
  return isLarger ? warn(`${shown}: the rest is lost memory`, remedy, ...read) : undefined;
}

/** QEMU's memory backend must have exactly the device's size. */
async function judgeVm(
  { effects, isQemu, vmmPid }: HostReads,
  sizes: KvmfrSizes,
): Promise<Answer | undefined> {
  if (!isQemu) return undefined;
  for (const [index, node] of nodesOf(sizes).entries()) {
    const mapped = await readMappedBytes(effects, vmmPid, node);
    const wanted = BigInt(sizes.effective?.sizes[index] ?? 0) << 20n;
    if (mapped === undefined || mapped === wanted) continue;
    return fail(
      `${node} has ${wanted >> 20n} MiB, and QEMU maps ${mapped >> 20n}`,
      `start the VM with size=${wanted >> 20n}M for ${node}`,
      seen(`/proc/${vmmPid}/maps`, `${node} ${mapped >> 20n} MiB`),
    );
  }
  return undefined;
}

const secureBoot: HostCheck = {
  id: 'kvmfr.secureboot',
  about: 'whether Secure Boot lets the module kvmfr in',
  needs: 'host',
  async run(reads) {
    if (!isWanted(await readSizes(reads))) return skip(NOT_WANTED);
    const enforced = await readSecureBoot(reads.effects);
    if (!enforced.known) return unknownAnswer(enforced.reason);
    const firmware = seen('/sys/firmware/efi', enforced.value ? 'Secure Boot is on' : 'off');
    if (!enforced.value) return ok('it does not ask', firmware);
    const { state, read } = await readSignature(reads);
    if (state === 'unknown')
      return unknownAnswer('the signature cannot be read', 'modinfo kvmfr', read);
    return state === 'unsigned'
      ? fail(
          'Secure Boot is on, and the module is not signed',
          'sign it and enrol the key: mokutil --import KEY',
          firmware,
          read,
        )
      : ok(state === 'loaded' ? 'it is loaded' : 'it is signed', firmware, read);
  },
};

export const kvmfrSubject: Subject = {
  name: 'kvmfr',
  checks: [moduleCheck, device, isFile, kvmfrPerm, size, kvmfrRule, kvmfrMac, secureBoot],
};
