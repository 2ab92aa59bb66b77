// A line of 64 MiB, one byte at a time, beside the same line in one piece; both larger than QEMU ever sends.
import { JsonFramer } from '../build/qmp/framer.js';
import { timed } from './measure.mjs';

const LINE_BYTES = 64 * 1024 * 1024;
/** Linear time: a byte costs the same at the end of the line as at its beginning, within this factor. */
const BUDGET = 2;

/** @returns {Promise<import('./measure.mjs').Figure>} */
export async function measureFramer() {
  await inBytes(LINE_BYTES / 16); // until the code is compiled
  const half = await inBytes(LINE_BYTES / 2);
  const full = await inBytes(LINE_BYTES);
  const ratio = full / (2 * half);
  return {
    name: 'a 64 MiB line in 1-byte chunks, per byte',
    ours: `${ratio.toFixed(2)} x (${(full / 1_000).toFixed(1)} s)`,
    floor: `32 MiB ${(half / 1_000).toFixed(1)} s`,
    budget: `${BUDGET} x`,
    holds: ratio <= BUDGET,
  };
}

/** @param {number} byteCount */
async function inBytes(byteCount) {
  const line = Buffer.alloc(byteCount, 'x');
  line.write('{"a":"', 0);
  line.write('"}', byteCount - 2);
  let messages = 0;
  const framer = new JsonFramer(() => (messages += 1), { maxMessageBytes: byteCount });
  const ms = await timed(() => {
    for (let at = 0; at < byteCount; at += 1) {
      framer.push(line.subarray(at, at + 1));
    }
  });
  if (messages !== 1) throw new Error(`${messages} messages instead of one`);
  return ms;
}
