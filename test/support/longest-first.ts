import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Test files that run for minutes, the longest first. */
const LONG = [
  'lab/attach-killed',
  'lab/host-kernel',
  'lab/host-lending',
  'lab/attach',
  'lab/inner-guest',
  'schedules/shard-0',
  'schedules/shard-1',
  'schedules/shard-2',
  'schedules/shard-3',
  'qemu/soak',
  'hotplug/defects/defects',
  'qemu/firmware-windows',
];

/** Begins with the longest: one that begins last keeps every other processor waiting. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    return sorted.sort((a, b) => rankOf(a) - rankOf(b));
  }
}

function rankOf({ moduleId }: TestSpecification): number {
  const rank = LONG.findIndex((name) => moduleId.endsWith(`/${name}.test.ts`));
  return rank === -1 ? LONG.length : rank;
}
