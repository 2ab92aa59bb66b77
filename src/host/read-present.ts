import { constants } from 'node:fs';
import { open } from 'node:fs/promises';

/** One record of /dev/kmsg fits; a smaller buffer would be EINVAL (PRINTK_MESSAGE_MAX and before it, Linux 6.1 and 6.12). */
const RECORD_BYTES = 8_192;
/** What is kept, the last of it. */
const MOST_BYTES = 512 * 1024;

/**
 * What can be read now of a file that never ends, as the kernel's log: a read that would wait is its end. Of a long one
 * the last part.
 *
 * @throws the error of node, ETIMEDOUT where it is written faster than it can be read.
 */
export async function readPresent(path: string, deadlineMs: number): Promise<string> {
  const endsAt = performance.now() + deadlineMs;
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const kept: Buffer[] = [];
    let bytes = 0;
    const buffer = Buffer.alloc(RECORD_BYTES);
    for (;;) {
      if (performance.now() > endsAt) {
        throw Object.assign(new Error(`${path} does not end`), { code: 'ETIMEDOUT' });
      }
      const record = await readRecord(file, buffer);
      if (record === 'end') return Buffer.concat(kept).toString('utf8');
      if (record === 'lost') continue;
      kept.push(record);
      bytes += record.length;
      while (bytes > MOST_BYTES) bytes -= kept.shift()?.length ?? bytes;
    }
  } finally {
    await file.close();
  }
}

/** `lost`: the log has come round, and the next read goes on with what is there. */
async function readRecord(
  file: Awaited<ReturnType<typeof open>>,
  buffer: Buffer,
): Promise<Buffer | 'end' | 'lost'> {
  try {
    const { bytesRead } = await file.read(buffer, 0, buffer.length, null);
    return bytesRead === 0 ? 'end' : Buffer.from(buffer.subarray(0, bytesRead));
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'EAGAIN') return 'end';
    if (code === 'EPIPE') return 'lost';
    throw error;
  }
}
