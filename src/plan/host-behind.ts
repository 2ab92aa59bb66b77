import type { VmDevice } from '../vm/types.js';

/** The host function, or the mdev, behind a VM's device: by whichever property it was named. */
export function hostBehind({ host, sysfsdev }: VmDevice): string | undefined {
  return host ?? sysfsdev?.slice(sysfsdev.lastIndexOf('/') + 1);
}
