/** A route of the main table; address and mask in network order. */
export interface Route {
  readonly family: 4 | 6;
  readonly interface: string;
  readonly network: bigint;
  readonly prefixLength: number;
}

/** Remote end of an established TCP connection. */
export interface Peer {
  readonly family: 4 | 6;
  readonly address: bigint;
}

/** Byte order of the kernel that wrote the text: it prints some addresses as host words. */
export type Endianness = 'LE' | 'BE';

// Linux include/uapi/linux/route.h.
const RTF_UP = 0x1;
const RTF_REJECT = 0x200;
/** Linux include/net/tcp_states.h, TCP_ESTABLISHED. */
const ESTABLISHED = '01';

/** Reads /proc/net/route. */
export function parseRoutes4(text: string, endianness: Endianness): readonly Route[] {
  return text.split('\n').flatMap((line) => {
    const [name, destination, , flags, , , , mask] = line.trim().split(/\s+/);
    if (!name || !isHex(destination, 8) || !isHex(flags) || !isHex(mask, 8)) return [];
    if (!isUsable(parseInt(flags, 16))) return [];
    const bits = hostWords(mask, endianness).toString(2).replaceAll('0', '').length;
    const network = hostWords(destination, endianness);
    return [{ family: 4, interface: name, network, prefixLength: bits }];
  });
}

/** Reads /proc/net/ipv6_route. */
export function parseRoutes6(text: string): readonly Route[] {
  return text.split('\n').flatMap((line) => {
    const fields = line.trim().split(/\s+/);
    const [destination, length, , , , , , , flags, name] = fields;
    if (!name || !isHex(destination, 32) || !isHex(length) || !isHex(flags)) return [];
    if (!isUsable(parseInt(flags, 16))) return [];
    const network = BigInt(`0x${destination}`);
    return [{ family: 6, interface: name, network, prefixLength: parseInt(length, 16) }];
  });
}

/** Peers of the established connections in /proc/net/tcp or tcp6, loopback left out. */
export function parsePeers(text: string, endianness: Endianness): readonly Peer[] {
  return text.split('\n').flatMap((line) => {
    const [, , remote, state] = line.trim().split(/\s+/);
    const [hex] = remote?.split(':') ?? [];
    if (state !== ESTABLISHED || !isHex(hex)) return [];
    const peer = toPeer(hostWords(hex, endianness), hex.length === 8 ? 4 : 6);
    return isLoopback(peer) ? [] : [peer];
  });
}

/** The interfaces of the default routes. */
export function defaultInterfaces(routes: readonly Route[]): ReadonlySet<string> {
  return new Set(
    routes.filter((route) => route.prefixLength === 0).map((route) => route.interface),
  );
}

/** The interface the longest matching route leads to. */
export function interfaceTowards(routes: readonly Route[], peer: Peer): string | undefined {
  const width = peer.family === 4 ? 32 : 128;
  let best: Route | undefined;
  for (const route of routes) {
    const shift = BigInt(width - route.prefixLength);
    const matches =
      route.family === peer.family && route.network >> shift === peer.address >> shift;
    if (matches && (best === undefined || route.prefixLength > best.prefixLength)) best = route;
  }
  return best?.interface;
}

function isUsable(flags: number): boolean {
  return (flags & RTF_UP) !== 0 && (flags & RTF_REJECT) === 0;
}

/** An IPv4 peer of a dual-stack socket is listed as ::ffff:a.b.c.d. */
function toPeer(address: bigint, family: 4 | 6): Peer {
  const isMapped = family === 6 && address >> 32n === 0xffffn;
  return isMapped ? { family: 4, address: address & 0xffffffffn } : { family, address };
}

function isLoopback({ family, address }: Peer): boolean {
  return family === 4 ? address >> 24n === 127n : address === 1n;
}

function isHex(text: string | undefined, length?: number): text is string {
  return (
    text !== undefined &&
    /^[0-9a-f]+$/i.test(text) &&
    (length === undefined || text.length === length)
  );
}

/** A number printed as 32-bit words in host byte order, put back into network order. */
function hostWords(hex: string, endianness: Endianness): bigint {
  const words = hex.match(/.{8}/g) ?? [];
  const swap = (word: string) => (word.match(/../g) ?? []).reverse().join('');
  return BigInt(`0x${(endianness === 'LE' ? words.map(swap) : words).join('') || '0'}`);
}
