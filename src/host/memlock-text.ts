import type { MemlockLimit } from './effects.js';

/** Finds RLIMIT_MEMLOCK in /proc/<pid>/limits; undefined where the text has no such row. */
export function parseMemlock(limits: string): MemlockLimit | undefined {
  const [, soft, hard] =
    /^Max locked memory\s+(\d+|unlimited)\s+(\d+|unlimited)/m.exec(limits) ?? [];
  if (soft === undefined || hard === undefined) return undefined;
  const read = (text: string) => (text === 'unlimited' ? undefined : BigInt(text));
  return { soft: read(soft), hard: read(hard) };
}

/** `soft:hard` as prlimit(1) takes it. */
export function formatMemlock({ soft, hard }: MemlockLimit): string {
  return `${soft ?? 'unlimited'}:${hard ?? 'unlimited'}`;
}
