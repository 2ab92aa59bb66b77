// With Node's own test runner: node --test examples/replay-in-ci/node.test.mjs
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { giveEntropy } from './give-device.mjs';
import { onTranscript } from './on-transcript.mjs';

const recording = join(import.meta.dirname, 'give-entropy.jsonl');

test('the entropy source goes to the first free port', async () => {
  assert.deepEqual(await onTranscript(recording, giveEntropy), { port: 'rp0', free: 1 });
});

test('a change of what is said to QEMU is noticed', async () => {
  const work = (/** @type {import('qmplug').Vm} */ vm) =>
    vm.attach({ emulate: { driver: 'virtio-rng-pci' }, id: 'entropy1' });
  await assert.rejects(onTranscript(recording, work), {
    code: 'TRANSCRIPT_MISMATCH',
    message: /- arguments\.id: "entropy0"\n\s+\+ arguments\.id: "entropy1"/,
  });
});
