import { describe, expect, it } from 'vitest';
import {
  defaultInterfaces,
  interfaceTowards,
  parsePeers,
  parseRoutes4,
  parseRoutes6,
} from '../../src/host/guards/routes.js';

const ROUTES = [
  'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT',
  'eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0',
  'eth1\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0',
  'eth2\t0001000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0',
  'eth3\t0002000A\t00000000\t0000\t0\t0\t0\t00FFFFFF\t0\t0\t0',
  '',
].join('\n');

const TCP = [
  '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode',
  '   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1',
  '   1: 0101000A:0016 0701000A:C001 01 00000000:00000000 00:00000000 00000000     0        0 2 1',
  '   2: 0100007F:1F90 0100007F:C002 01 00000000:00000000 00:00000000 00000000     0        0 3 1',
  '',
].join('\n');

const TCP6 = [
  '  sl  local_address                         remote_address                        st',
  '   0: 0000000000000000FFFF00000101000A:0016 0000000000000000FFFF00000801000A:C001 01 0:0',
  '   1: B80D0120000000000000000001000000:0016 B80D0120000000000000000002000000:C001 01 0:0',
  '   2: 00000000000000000000000001000000:0016 00000000000000000000000001000000:C001 01 0:0',
].join('\n');

describe('routes and connections', () => {
  const routes = [
    ...parseRoutes4(ROUTES, 'LE'),
    ...parseRoutes6(
      `20010db8000000000000000000000000 20 ${'0'.repeat(32)} 00 ${'0'.repeat(32)} 00000100 00000001 00000000 00000001 eth6\n`,
    ),
  ];

  it('tell the default route, and leave out one that is down', () => {
    expect([...defaultInterfaces(routes)]).toEqual(['eth0']);
    expect(routes.map((route) => route.interface)).toEqual(['eth0', 'eth1', 'eth2', 'eth6']);
  });

  it('follow the longest prefix', () => {
    const towards = (address: bigint) => interfaceTowards(routes, { family: 4, address });
    expect(towards(0x0a000107n)).toBe('eth2');
    expect(towards(0x0a090909n)).toBe('eth1');
    expect(towards(0x08080808n)).toBe('eth0');
  });

  it('count established connections, mapped ones as IPv4, and never loopback', () => {
    expect(parsePeers(TCP, 'LE')).toEqual([{ family: 4, address: 0x0a000107n }]);
    expect(parsePeers(TCP6, 'LE')).toEqual([
      { family: 4, address: 0x0a000108n },
      { family: 6, address: 0x20010db8000000000000000000000002n },
    ]);
    expect(parsePeers(TCP6, 'LE').map((peer) => interfaceTowards(routes, peer))).toEqual([
      'eth2',
      'eth6',
    ]);
  });

  it('read what a big-endian kernel prints', () => {
    const line = 'eth1\t0A000000\t00000000\t0001\t0\t0\t0\tFF000000\t0\t0\t0';
    expect(parseRoutes4(line, 'BE')).toEqual([
      { family: 4, interface: 'eth1', network: 0x0a000000n, prefixLength: 8 },
    ]);
  });
});
