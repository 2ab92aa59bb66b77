import { endianness } from 'node:os';

/** What sendmsg(2) made of a message: how many bytes it took, or the name of its errno. */
export type SendResult = { readonly sentBytes: number } | { readonly errno: string };

/**
 * One sendmsg(2) that never blocks: bytes, and a descriptor of ours with the first of them.
 *
 * @param socket descriptor of a connected unix socket.
 */
export type SendWithFile = (socket: number, data: Uint8Array, file: number) => SendResult;

/** The part of koffi that is used; spelled out, so that our types do not need the package either. */
export interface Koffi {
  sizeof(type: string): number;
  struct(members: Readonly<Record<string, unknown>>): unknown;
  pointer(type: unknown): unknown;
  load(path: null): {
    func(
      name: string,
      result: string,
      parameters: readonly unknown[],
    ): (...values: readonly unknown[]) => unknown;
  };
  errno(): number;
  readonly os: { readonly errno: Readonly<Record<string, number>> };
}

// Linux include/linux/socket.h and include/uapi/asm-generic/socket.h.
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;

/** `struct cmsghdr` with one descriptor, on a machine of 64 bits: length, level, type, and four bytes more. */
const CMSG_BYTES = 20;
/** The same, filled up to the next length word (CMSG_SPACE, cmsg(3)). */
const CONTROL_BYTES = 24;

/**
 * Node can neither send nor receive descriptors, so this calls the C library through koffi, which is an optional
 * dependency and loaded only here, when it is needed.
 *
 * @returns the call, or why there is none, in words.
 */
export async function loadSendWithFile(
  load: () => Promise<Koffi> = loadKoffi,
): Promise<SendWithFile | string> {
  if (process.platform !== 'linux')
    return `passing descriptors is for Linux, not ${process.platform}`;
  try {
    return bind(await load());
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return code === 'ERR_MODULE_NOT_FOUND'
      ? 'the optional package koffi is not installed: npm install koffi'
      : `the optional package koffi cannot be used here: ${String(error)}`;
  }
}

async function loadKoffi(): Promise<Koffi> {
  const { default: koffi } = await import('koffi');
  return koffi;
}

/** The layouts are the kernel's own for 64 bits (struct user_msghdr), which the C libraries keep to. */
function bind(koffi: Koffi): SendWithFile {
  if (koffi.sizeof('void *') !== 8) throw new Error('only machines of 64 bits are supported');
  const bytes = koffi.struct({ iov_base: 'void *', iov_len: 'size_t' });
  const header = koffi.struct({
    msg_name: 'void *',
    msg_namelen: 'uint32_t',
    msg_iov: koffi.pointer(bytes),
    msg_iovlen: 'size_t',
    msg_control: 'void *',
    msg_controllen: 'size_t',
    msg_flags: 'int',
  });
  // The C library is in the process already; null names it without a file.
  const sendmsg = koffi
    .load(null)
    .func('sendmsg', 'intptr_t', ['int', koffi.pointer(header), 'int']);
  const names = new Map(Object.entries(koffi.os.errno).map(([name, value]) => [value, name]));
  return (socket, data, file) => {
    const message = {
      msg_name: null,
      msg_namelen: 0,
      msg_iov: { iov_base: data, iov_len: data.length },
      msg_iovlen: 1,
      msg_control: controlOf(file),
      msg_controllen: CONTROL_BYTES,
      msg_flags: 0,
    };
    const result = Number(sendmsg(socket, message, MSG_DONTWAIT | MSG_NOSIGNAL));
    if (result >= 0) return { sentBytes: result };
    const errno = koffi.errno();
    return { errno: names.get(errno) ?? `errno ${errno}` };
  };
}

function controlOf(file: number): Uint8Array {
  const control = Buffer.alloc(CONTROL_BYTES);
  if (endianness() === 'LE') {
    control.writeBigUInt64LE(BigInt(CMSG_BYTES), 0);
    control.writeInt32LE(SOL_SOCKET, 8);
    control.writeInt32LE(SCM_RIGHTS, 12);
    control.writeInt32LE(file, 16);
  } else {
    control.writeBigUInt64BE(BigInt(CMSG_BYTES), 0);
    control.writeInt32BE(SOL_SOCKET, 8);
    control.writeInt32BE(SCM_RIGHTS, 12);
    control.writeInt32BE(file, 16);
  }
  return control;
}
