import { ifPresent, listOrNone, readAttribute } from '../../host/reading.js';
import { HostIoError, type HostEffects } from '../../host/effects.js';
import { parseSelector } from '../../host/selector/index.js';
import { formatSize } from '../../pci/size.js';
import type { PairCheck } from '../check.js';
import { fail, ok, seen, unknownAnswer, warn } from '../finding.js';

const NODES = '/sys/devices/system/node';

export const numa: PairCheck = {
  id: 'dev.numa',
  about: "whether QEMU's processors and memory are on the device's NUMA node",
  needs: 'pair',
  async run({ effects, vmmPid, bdf, selector, record: { numaNode } }) {
    if (!numaNode.known) return unknownAnswer(numaNode.reason);
    const path = `/sys/bus/pci/devices/${bdf}/numa_node`;
    const node = numaNode.value;
    if (node < 0) return ok('the firmware names no node', seen(path, node));
    const all = (await listOrNone(effects, NODES)).filter((name) => /^node\d+$/.test(name));
    if (all.length < 2) return ok('the host has one node', seen(path, node));
    const local = await readAttribute(effects, `${NODES}/node${node}/cpulist`);
    const status = await effects.read(`/proc/${vmmPid}/status`);
    const allowed = /^Cpus_allowed_list:\s*(\S+)/m.exec(status)?.[1];
    if (local === undefined || allowed === undefined) {
      return unknownAnswer(`the processors of node ${node} or of QEMU are not told`);
    }
    const read = [seen(path, node), seen(`/proc/${vmmPid}/status`, `Cpus_allowed_list ${allowed}`)];
    const isRequired = parseSelector(selector).numa === 'required';
    const judge = isRequired ? fail : warn;
    const remedy = `start QEMU with: numactl --cpunodebind=${node} --membind=${node}`;
    const near = cpusOf(local);
    if (![...cpusOf(allowed)].some((cpu) => near.has(cpu))) {
      return judge(`QEMU runs on no processor of node ${node}`, remedy, ...read);
    }
    const memory = await readMemory(effects, vmmPid);
    if (memory === undefined) {
      return unknownAnswer('where the memory of QEMU lies cannot be read', 'run as root', ...read);
    }
    const total = [...memory.values()].reduce((sum, bytes) => sum + bytes, 0n);
    const here = memory.get(node) ?? 0n;
    const share = `${formatSize(here)} of ${formatSize(total)} on node ${node}`;
    const placed = [...read, seen(`/proc/${vmmPid}/numa_maps`, share)];
    return here * 2n < total
      ? judge(`most memory of QEMU is elsewhere: ${share}`, remedy, ...placed)
      : ok(share, ...placed);
  },
};

/** `0-3,8`. */
function cpusOf(list: string): ReadonlySet<number> {
  const cpus = new Set<number>();
  for (const part of list.split(',')) {
    const [, from, to] = /^(\d+)(?:-(\d+))?$/.exec(part.trim()) ?? [];
    if (from === undefined) continue;
    for (let cpu = Number(from); cpu <= Number(to ?? from); cpu += 1) cpus.add(cpu);
  }
  return cpus;
}

/** Bytes by node, of lines such as `7f0 default anon=3 N0=1 N1=2 kernelpagesize_kB=4` (numa(7)). */
async function readMemory(
  effects: HostEffects,
  pid: number,
): Promise<ReadonlyMap<number, bigint> | undefined> {
  const text = await ifPresent(effects.read(`/proc/${pid}/numa_maps`)).catch((error: unknown) => {
    if (error instanceof HostIoError) return undefined;
    throw error;
  });
  if (text === undefined) return undefined;
  const bytes = new Map<number, bigint>();
  for (const line of text.split('\n')) {
    const size = BigInt(/ kernelpagesize_kB=(\d+)/.exec(line)?.[1] ?? 4) * 1024n;
    for (const [, node, pages] of line.matchAll(/ N(\d+)=(\d+)/g)) {
      const at = Number(node);
      bytes.set(at, (bytes.get(at) ?? 0n) + BigInt(pages ?? 0) * size);
    }
  }
  return bytes;
}
