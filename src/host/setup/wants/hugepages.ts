import { findArguments } from '../command-line.js';
import type { SetupFacts } from '../facts.js';
import { HUGEPAGES } from './places.js';
import { HEADER, type Refusal, type Wish, type Wishes } from './wish.js';

const SMALL_BYTES = 2n << 20n;

/**
 * Pages of 2 MiB are reserved now and at every boot. Those of 1 GiB are only to be had before memory is in use,
 * and so on the command line.
 */
export const hugepages: Wish = ({ hugepages: wanted }, facts) => {
  const small = Object.entries(wanted?.['2M'] ?? {});
  const large = Object.entries(wanted?.['1G'] ?? {});
  const parts = [
    ...(small.length === 0 ? [] : [smallPages(small, facts)]),
    ...(large.length === 0 ? [] : [largePages(large, facts)]),
  ];
  return {
    files: parts.flatMap((part) => part.files ?? []),
    attributes: parts.flatMap((part) => part.attributes ?? []),
    arguments: parts.flatMap((part) => part.arguments ?? []),
    refused: parts.flatMap((part) => part.refused ?? []),
  };
};

type PerNode = readonly (readonly [node: string, count: number])[];

function smallPages(wanted: PerNode, facts: SetupFacts): Wishes {
  const pathOf = (node: string) =>
    `/sys/devices/system/node/node${node}/hugepages/hugepages-2048kB/nr_hugepages`;
  const tooMany = wanted.flatMap(([node, count]): readonly Refusal[] => {
    const free = facts.nodeFreeBytes.get(node);
    const more = count - Number(facts.hugepages.get(pathOf(node)) ?? 0);
    const needed = BigInt(Math.max(0, more)) * SMALL_BYTES;
    if (free === undefined || needed <= free) return [];
    const reason = `${more} pages more need ${needed >> 20n} MiB, and node ${node} has ${free >> 20n} MiB free`;
    const remedy = 'free memory on that node, or ask for fewer';
    return [{ item: `hugepages.2M.${node}`, state: 'unmet', reason, remedy }];
  });
  const possible = wanted.filter(
    ([node]) => !tooMany.some(({ item }) => item === `hugepages.2M.${node}`),
  );
  const lines = wanted.map(([node, count]) => `w ${pathOf(node)} - - - - ${count}`);
  return {
    refused: tooMany,
    attributes: possible.map(([node, count]) => ({
      item: `hugepages.2M.${node}`,
      path: pathOf(node),
      value: String(count),
    })),
    files: [
      { item: 'hugepages.boot', path: HUGEPAGES, content: `${[HEADER, ...lines].join('\n')}\n` },
    ],
  };
}

function largePages(wanted: PerNode, { kernelArguments }: SetupFacts): Wishes {
  const item = 'hugepages.1G';
  const value = wanted.map(([node, count]) => `${node}:${count}`).join(',');
  const { configured } = kernelArguments;
  const theirs = configured.known
    ? findArguments(configured.value.words, 'hugepages').find((word) => word.value !== value)
    : undefined;
  if (theirs !== undefined) {
    const reason = `${theirs.text} is configured already, and what it belongs to depends on its place`;
    const remedy = `remove ${theirs.text} and its hugepagesz= where they are set`;
    return { refused: [{ item, state: 'conflicting', reason, remedy }] };
  }
  return {
    // The count belongs to the size in front of it: both are added in one go, in this order.
    arguments: [
      { item, key: 'hugepagesz', value: '1G' },
      { item, key: 'hugepages', value },
    ],
  };
}
