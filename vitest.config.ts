import { availableParallelism, totalmem } from 'node:os';
import { defineConfig } from 'vitest/config';
import { LongestFirst } from './test/support/longest-first.js';

const minutes = (count: number) => count * 60_000;
const gibibytes = (count: number) => count * 2 ** 30;
/** Left alone, vitest keeps one processor free: of two, half. */
const everyProcessor = availableParallelism();

export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: ['test/{replay,qemu,lab,iommufd,grub,container}/**'],
          testTimeout: minutes(1),
          hookTimeout: minutes(1),
          maxWorkers: everyProcessor,
        },
      },
      {
        test: {
          name: 'replay',
          include: ['test/replay/**/*.test.ts'],
          testTimeout: minutes(1),
          maxWorkers: everyProcessor,
        },
      },
      {
        test: {
          name: 'qemu',
          include: ['test/qemu/**/*.test.ts'],
          testTimeout: minutes(3),
          hookTimeout: minutes(5),
          maxWorkers: 2,
        },
      },
      {
        test: {
          name: 'container',
          include: ['test/container/**/*.test.ts'],
          globalSetup: ['test/container/docker.ts'],
          testTimeout: minutes(5),
          hookTimeout: minutes(5),
          maxWorkers: 2,
        },
      },
      {
        test: {
          name: 'grub',
          include: ['test/grub/**/*.test.ts'],
          testTimeout: minutes(1),
          hookTimeout: minutes(45),
          maxWorkers: 1,
        },
      },
      {
        test: {
          name: 'iommufd',
          include: ['test/iommufd/**/*.test.ts'],
          testTimeout: minutes(15),
          hookTimeout: minutes(15),
          maxWorkers: 1,
        },
      },
      {
        test: {
          name: 'lab',
          include: ['test/lab/**/*.test.ts'],
          testTimeout: minutes(15),
          hookTimeout: minutes(15),
          // Each of its machines keeps one processor and 2.6 GiB of memory busy.
          maxWorkers: totalmem() < gibibytes(7) ? 1 : 2,
        },
      },
    ],
  },
});
