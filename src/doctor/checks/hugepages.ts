import { ifPresent, listOrNone } from '../../host/reading.js';
import { formatSize } from '../../pci/size.js';
import type { HostCheck, HostReads } from '../check.js';
import {
  fail,
  ok,
  seen,
  skip,
  unknownAnswer,
  warn,
  type Answer,
  type Evidence,
} from '../finding.js';
import { kibibytes } from '../read-kibibytes.js';

const NODES = '/sys/devices/system/node';
const SIZES = { '2M': 'hugepages-2048kB', '1G': 'hugepages-1048576kB' } as const;
const BYTES = { '2M': 2n << 20n, '1G': 1n << 30n } as const;
type Size = keyof typeof SIZES;

interface Pool {
  readonly size: Size;
  readonly node: string;
  readonly total: number;
  readonly free: number;
  readonly read: Evidence;
}

export const hugepages: HostCheck = {
  id: 'mem.hugepages',
  about: 'whether there are the huge pages that are wanted, and that the VM has still to take',
  needs: 'host',
  async run(reads) {
    const pools = await readPools(reads);
    if (pools.length === 0) return skip('the kernel has no huge pages', seen(NODES, 'none'));
    return (await judgeWish(reads, pools)) ?? (await judgeVm(reads, pools)) ?? told(pools);
  },
};

const told = (pools: readonly Pool[]): Answer =>
  pools.some(({ total }) => total > 0)
    ? ok('enough of them', ...pools.map(({ read }) => read))
    : ok('not used', ...pools.map(({ read }) => read));

async function readPools({ effects }: HostReads): Promise<readonly Pool[]> {
  const nodes = (await listOrNone(effects, NODES)).filter((name) => /^node\d+$/.test(name)).sort();
  const pools: Pool[] = [];
  for (const name of nodes) {
    for (const size of ['2M', '1G'] as const) {
      const path = `${NODES}/${name}/hugepages/${SIZES[size]}`;
      const total = await ifPresent(effects.read(`${path}/nr_hugepages`));
      const free = await ifPresent(effects.read(`${path}/free_hugepages`));
      if (total === undefined || free === undefined) continue;
      const [all, left] = [Number(total), Number(free)];
      const read = seen(path, `${left} of ${all} free`);
      pools.push({ size, node: name.slice('node'.length), total: all, free: left, read });
    }
  }
  return pools;
}

const sum = (numbers: readonly number[]) => numbers.reduce((total, each) => total + each, 0);

/** What the desired state asks for, node by node; what lies on another node is far, and there. */
async function judgeWish(
  { effects, desired }: HostReads,
  pools: readonly Pool[],
): Promise<Answer | undefined> {
  for (const size of ['2M', '1G'] as const) {
    const wanted = Object.entries(desired?.hugepages?.[size] ?? {});
    if (wanted.length === 0) continue;
    const ofSize = pools.filter((pool) => pool.size === size);
    const totalOf = (node: string) => ofSize.find((pool) => pool.node === node)?.total ?? 0;
    const short = wanted.find(([node, count]) => totalOf(node) < count);
    if (short === undefined) {
      if (await isMounted(effects)) continue;
      const remedy = 'mount -t hugetlbfs hugetlbfs /dev/hugepages';
      return fail(
        'they are wanted, and hugetlbfs is not mounted',
        remedy,
        seen('/proc/mounts', 'no hugetlbfs'),
      );
    }
    const [node, count] = short;
    const path = `${NODES}/node${node}/hugepages/${SIZES[size]}/nr_hugepages`;
    const why = `node ${node} has ${totalOf(node)} of ${count} pages of ${size}`;
    const remedy =
      size === '2M'
        ? `echo ${count} > ${path}`
        : `hugepagesz=1G hugepages=${node}:${count}; reboot`;
    const read = ofSize.map((pool) => pool.read);
    const elsewhere = sum(ofSize.map(({ total }) => total)) >= sum(wanted.map(([, each]) => each));
    return elsewhere ? warn(why, remedy, ...read) : fail(why, remedy, ...read);
  }
  return undefined;
}

async function isMounted(effects: HostReads['effects']): Promise<boolean> {
  const mounts = await effects.read('/proc/mounts');
  return mounts.split('\n').some((line) => line.split(' ')[2] === 'hugetlbfs');
}

/** A VM on huge pages that has not touched them all takes the rest when the first device pins its RAM. */
async function judgeVm(
  { effects, vm, vmmPid }: HostReads,
  pools: readonly Pool[],
): Promise<Answer | undefined> {
  if (vm === undefined) return undefined;
  const path = `/proc/${vmmPid}/status`;
  const held = kibibytes(await effects.read(path), 'HugetlbPages') ?? 0n;
  if (held === 0n) return undefined;
  if (!vm.ramBytes.known) return unknownAnswer(vm.ramBytes.reason);
  const rest = vm.ramBytes.value > held ? vm.ramBytes.value - held : 0n;
  const free = pools.reduce((total, pool) => total + BigInt(pool.free) * BYTES[pool.size], 0n);
  const read = [seen(path, `HugetlbPages ${formatSize(held)}`), ...pools.map((pool) => pool.read)];
  if (free < rest) {
    const why = `the VM has still to take ${formatSize(rest)} of huge pages, and ${formatSize(free)} are free`;
    return fail(why, 'reserve more: nr_hugepages of its node, or -mem-prealloc', ...read);
  }
  return undefined;
}
