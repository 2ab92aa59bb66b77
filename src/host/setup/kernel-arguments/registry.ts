import type { KernelArgumentBackend } from './backend.js';
import { bootcImage } from './bootc-image.js';
import { bootcLoaderEntries } from './bootc-loader-entries.js';
import { grubDropIn } from './grub-drop-in.js';
import { grubEdit } from './grub-edit.js';
import { grubby } from './grubby.js';
import { kernelInstall } from './kernel-install.js';
import { kernelstub } from './kernelstub.js';
import { nixos } from './nixos.js';
import { none } from './none.js';
import { rpmOstree } from './rpm-ostree.js';

/**
 * Every backend, the preferred first: of several that are there, one that tracks who set an argument, then one
 * with a file of our own, then one that edits.
 */
export const backends: readonly KernelArgumentBackend[] = [
  bootcImage,
  bootcLoaderEntries,
  rpmOstree,
  nixos,
  kernelstub,
  grubby,
  kernelInstall,
  grubDropIn,
  grubEdit,
  none,
];

export function backendNamed(name: string): KernelArgumentBackend | undefined {
  return backends.find((backend) => backend.name === name);
}
