import { formatDevno, parseDevno, type Devno } from '../ccw/index.js';
import type { QomReader } from './qom.js';
import type { PortKind } from './types.js';

/** Where a device is on a bus with many places. */
export type Place =
  | { readonly kind: 'devfn'; readonly devfn: number }
  | { readonly kind: 'devno'; readonly devno: Devno };

/** Asks a device where it is on a bus of this kind; undefined where it does not tell. */
export async function readPlace(
  reader: QomReader,
  kind: PortKind,
  path: string,
): Promise<Place | undefined> {
  if (kind === 'ccw-bridge') {
    const devno = await readDevno(reader, path);
    return devno === undefined ? undefined : { kind: 'devno', devno };
  }
  const addr = await reader.unsigned(path, 'addr', 8);
  return addr.kind === 'value' ? { kind: 'devfn', devfn: Number(addr.value) } : undefined;
}

/**
 * The address that a channel device has: `devno` only says what was asked for, and `subch_id` may be
 * another after a replug.
 */
export async function readDevno(reader: QomReader, path: string): Promise<Devno | undefined> {
  const text = await reader.text(path, 'dev_id');
  if (text.kind !== 'value') return undefined;
  try {
    return formatDevno(parseDevno(text.value));
  } catch {
    // In another channel subsystem image, where no number of ours is.
    return undefined;
  }
}
