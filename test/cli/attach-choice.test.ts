import { expect, it } from 'vitest';
import { batchDocument, batchLine, batchStatus } from '../../src/cli/commands/attach-choice.js';
import {
  PendingError,
  RefusedError,
  StepError,
  UnknownStateError,
  type AttachResult,
  type BatchEntry,
  type QmplugError,
} from '../../src/index.js';

const result: AttachResult = {
  attachment: { group: 5, already: false, functions: [] },
  warnings: [],
  steps: [],
  pending: undefined,
};
const attached = (more: Partial<AttachResult> = {}): BatchEntry => ({
  kind: 'attached',
  devices: ['0000:05:00.0'],
  result: { ...result, ...more },
});
const failed = (error: QmplugError): BatchEntry => ({
  kind: 'failed',
  devices: ['0000:06:00.0'],
  error,
});
const refusal = failed(new RefusedError('IN_USE', 'it is in use', { remedy: 'unmount it' }));

it.each([
  [[attached(), attached()], 0],
  [[attached(), refusal], 4],
  [[refusal], 3],
  [[attached({ pending: 'the guest' })], 5],
  [[attached({ pending: 'the guest' }), refusal], 5],
  [[attached(), failed(new StepError('STEP_FAILED', 'it failed'))], 4],
  [[attached(), failed(new PendingError('STILL_PENDING', 'it waits'))], 5],
  [[attached(), failed(new UnknownStateError('STATE_UNKNOWN', 'who knows'))], 6],
])('ends with the status of the worst: %#', (entries, status) => {
  expect(batchStatus(entries.map(batchLine))).toBe(status);
});

it('is a list of attachments, each with its devices; the one of policy one stands alone', () => {
  const lines = [attached(), refusal].map(batchLine);
  expect(batchDocument(lines, false)).toMatchObject({
    attachments: [
      { devices: ['0000:05:00.0'], attachment: { group: 5 }, steps: [] },
      { devices: ['0000:06:00.0'], error: { code: 'IN_USE', remedy: 'unmount it' } },
    ],
  });
  expect(batchDocument([batchLine(attached())], true)).toEqual({
    attachment: result.attachment,
    steps: [],
  });
});
