import { KernelError } from './errno.js';

/** What is written to an attribute that compares by sysfs_streq: one newline at the end does not count. */
export function sysfsText(data: string): string {
  return data.endsWith('\n') ? data.slice(0, -1) : data;
}

/**
 * A number as kstrtoul and its kin read it: decimal, `0x` or octal, with a plus sign and one newline at most.
 * Source: lib/kstrtox.c, Linux 6.1; the attributes of PCI say the same of one that is too large.
 *
 * @throws {KernelError} `EINVAL`
 */
export function sysfsNumber(data: string, most = 0xffff_ffff_ffff_ffffn): bigint {
  const [, hex, octal, decimal] =
    /^\+?(?:0x([0-9a-f]+)|0([0-7]+)|(\d+))$/i.exec(sysfsText(data)) ?? [];
  const digits = hex ?? octal ?? decimal;
  if (digits === undefined) throw new KernelError('EINVAL');
  const value = BigInt(`${hex === undefined ? (octal === undefined ? '' : '0o') : '0x'}${digits}`);
  if (value > most) throw new KernelError('EINVAL');
  return value;
}

/**
 * Source: kstrtobool, lib/kstrtox.c, Linux 6.1: the first letter decides, after an `o` the second.
 *
 * @throws {KernelError} `EINVAL`
 */
export function sysfsBoolean(data: string): boolean {
  if (/^([y1]|on)/i.test(data)) return true;
  if (/^([n0]|of)/i.test(data)) return false;
  throw new KernelError('EINVAL');
}
