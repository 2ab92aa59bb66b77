// The kernel proper out of a bzImage. QEMU starts it directly (by PVH), which spares an emulated processor
// from unpacking it: seconds in a guest, a minute in a guest within an emulated host.
import { execFileSync } from 'node:child_process';

// Layout: Linux, Documentation/arch/x86/boot.rst.
const MAGIC = { offset: 0x202, text: 'HdrS' };
const SETUP_SECTORS = 0x1f1;
const PAYLOAD_OFFSET = 0x248;
const PAYLOAD_LENGTH = 0x24c;
const SECTOR = 512;
/** The build appends the unpacked size (scripts/Makefile.lib, size_append). */
const SIZE_SUFFIX = 4;

/** Programs by the first bytes of what they unpack: Debian 12 uses xz, Debian 13 zstd. */
const UNPACKERS = [
  { magic: Buffer.from('fd377a585a00', 'hex'), argv: ['xz', '-dc'] },
  { magic: Buffer.from('28b52ffd', 'hex'), argv: ['zstd', '-dc'] },
];

/**
 * @param {Buffer} bzImage
 * @returns {Buffer} an ELF image
 * @throws when the file is no bzImage, or packed in a way not known here.
 */
export function extractVmlinux(bzImage) {
  const magic = bzImage.toString('latin1', MAGIC.offset, MAGIC.offset + MAGIC.text.length);
  if (magic !== MAGIC.text) throw new Error('this kernel is not a bzImage');
  const setup = (bzImage.readUInt8(SETUP_SECTORS) + 1) * SECTOR;
  const start = setup + bzImage.readUInt32LE(PAYLOAD_OFFSET);
  const end = start + bzImage.readUInt32LE(PAYLOAD_LENGTH) - SIZE_SUFFIX;
  const payload = bzImage.subarray(start, end);
  const unpacker = UNPACKERS.find(({ magic }) => payload.subarray(0, magic.length).equals(magic));
  if (!unpacker)
    throw new Error(`a kernel packed in an unknown way: ${payload.toString('hex', 0, 6)}`);
  const [command = '', ...args] = unpacker.argv;
  return execFileSync(command, args, { input: payload, maxBuffer: 2 ** 30 });
}
