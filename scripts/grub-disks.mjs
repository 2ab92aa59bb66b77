// The disks of Debians that boot through their own GRUB: `find` exits 1 unless all are there, `make` makes
// them by root or sudo, which takes some minutes, `where` prints the directory that keeps them.
import {
  findGrubDisk,
  grubDiskCache,
  INITRAMFS_PROGRAMS,
  makeGrubDisks,
} from './lab/grub-disks.mjs';

const actions = {
  find: () => {
    if (INITRAMFS_PROGRAMS.some((name) => findGrubDisk(name) === undefined)) process.exitCode = 1;
  },
  make: () => makeGrubDisks(),
  where: () => console.log(grubDiskCache()),
};

const name = process.argv[2] ?? '';
if (!Object.hasOwn(actions, name)) throw new Error('usage: grub-disks.mjs find|make|where');
await actions[/** @type {keyof typeof actions} */ (name)]();
