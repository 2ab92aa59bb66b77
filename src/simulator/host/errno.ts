/** What a system call of the simulated kernel returns instead of succeeding. */
export class KernelError extends Error {
  readonly errno: string;

  constructor(errno: string) {
    super(errno);
    this.name = 'KernelError';
    this.errno = errno;
  }
}

const TEXTS: Readonly<Record<string, string>> = {
  EPERM: 'Operation not permitted',
  ENOENT: 'No such file or directory',
  EIO: 'Input/output error',
  EACCES: 'Permission denied',
  EBUSY: 'Device or resource busy',
  ENODEV: 'No such device',
  EINVAL: 'Invalid argument',
  ENOMEM: 'Cannot allocate memory',
};

/** strerror(3), as QEMU appends it to its messages. */
export function errnoText(errno: string): string {
  return TEXTS[errno] ?? errno;
}
