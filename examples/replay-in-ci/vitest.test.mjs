// With vitest: npx vitest run --root examples/replay-in-ci
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { giveEntropy } from './give-device.mjs';
import { onTranscript } from './on-transcript.mjs';

const recording = join(import.meta.dirname, 'give-entropy.jsonl');

it('gives the entropy source to the first free port', async () => {
  expect(await onTranscript(recording, giveEntropy)).toEqual({ port: 'rp0', free: 1 });
});

it('notices a change of what is said to QEMU', async () => {
  const work = (/** @type {import('qmplug').Vm} */ vm) =>
    vm.attach({ emulate: { driver: 'virtio-rng-pci' }, id: 'entropy0', port: 'rp1' });
  await expect(onTranscript(recording, work)).rejects.toMatchObject({
    code: 'TRANSCRIPT_MISMATCH',
  });
});
