/** Bytes of a line such as `VmRSS:  1048576 kB` in /proc/meminfo and /proc/PID/status. */
export function kibibytes(text: string, name: string): bigint | undefined {
  const found = new RegExp(`^${name}:\\s*(\\d+) kB`, 'm').exec(text)?.[1];
  return found === undefined ? undefined : BigInt(found) * 1024n;
}
