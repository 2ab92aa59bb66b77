import { createHash } from 'node:crypto';

/**
 * A name-based UUID: RFC 9562, section 5.5. The same namespace and name give the same UUID anywhere.
 *
 * @param namespace a UUID.
 */
export function uuidV5(namespace: string, name: string): string {
  const hash = createHash('sha1')
    .update(Buffer.from(namespace.replaceAll('-', ''), 'hex'))
    .update(name)
    .digest()
    .subarray(0, 16);
  hash.writeUInt8((hash.readUInt8(6) & 0x0f) | 0x50, 6);
  hash.writeUInt8((hash.readUInt8(8) & 0x3f) | 0x80, 8);
  const hex = hash.toString('hex');
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20),
  ].join('-');
}

/** Our own namespace, drawn once. */
const NAMESPACE = '6b0f3a52-8c6e-4d0e-9f5b-2d7a51c4e913';

/** The UUID that an mdev of this VM and name has on every host and at every time. */
export function mdevUuidFor(vm: string, name: string): string {
  return uuidV5(NAMESPACE, JSON.stringify([vm, name]));
}
