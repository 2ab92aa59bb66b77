// Archives in the "newc" format, which is what the kernel unpacks as its first file system.
// Format: Linux, Documentation/driver-api/early-userspace/buffer-format.rst.

/**
 * @typedef {object} CpioEntry
 * @property {string} path without a leading slash
 * @property {number} mode type and permission bits, as `st_mode`
 * @property {Uint8Array} [content] of a file, or the target of a link
 * @property {{ major: number, minor: number }} [rdev] of a device node
 */

const DIRECTORY = 0o040755;
const FILE = 0o100644;
const PROGRAM = 0o100755;
const CHARACTER_DEVICE = 0o020600;

/** @param {string} path @returns {CpioEntry} */
export const directory = (path) => ({ path, mode: DIRECTORY });

/** @param {string} path @param {Uint8Array | string} content @returns {CpioEntry} */
export const file = (path, content) => ({ path, mode: FILE, content: Buffer.from(content) });

/** @param {string} path @param {Uint8Array | string} content @returns {CpioEntry} */
export const program = (path, content) => ({ path, mode: PROGRAM, content: Buffer.from(content) });

/** @param {string} path @param {number} major @param {number} minor @returns {CpioEntry} */
export const characterDevice = (path, major, minor) => ({
  path,
  mode: CHARACTER_DEVICE,
  rdev: { major, minor },
});

/**
 * Writes the archive. Directories come before what is in them, in the order given.
 *
 * @param {readonly CpioEntry[]} entries
 */
export function makeCpio(entries) {
  const parts = entries.map((entry, index) => formatEntry(entry, index + 1));
  return Buffer.concat([...parts, formatEntry({ path: 'TRAILER!!!', mode: 0 }, 0)]);
}

/** @param {CpioEntry} entry @param {number} inode */
function formatEntry({ path, mode, content = new Uint8Array(), rdev }, inode) {
  const name = Buffer.from(`${path}\0`);
  const fields = [
    inode,
    mode,
    0, // uid
    0, // gid
    1, // links
    0, // time
    content.length,
    0, // device the archive was made on
    0,
    rdev?.major ?? 0,
    rdev?.minor ?? 0,
    name.length,
    0, // checksum, unused by this variant
  ];
  const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`;
  return Buffer.concat([pad(Buffer.concat([Buffer.from(header), name])), pad(content)]);
}

/** @param {Uint8Array} bytes */
function pad(bytes) {
  return Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
}
