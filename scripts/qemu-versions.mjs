// The images of docker/ and what is unpacked from them: `find` exits 1 unless all are there, `make` builds
// and unpacks what is missing, `where` prints the directory that keeps the unpacked ones.
import { findQemuVersions, makeQemuVersions } from './lab/make-qemu-versions.mjs';
import { qemuCache } from './lab/qemu-versions.mjs';

const actions = {
  find: () => {
    if (!findQemuVersions()) process.exitCode = 1;
  },
  make: () => makeQemuVersions(),
  where: () => console.log(qemuCache()),
};

const name = process.argv[2] ?? '';
if (!Object.hasOwn(actions, name)) throw new Error('usage: qemu-versions.mjs find|make|where');
await actions[name]();
