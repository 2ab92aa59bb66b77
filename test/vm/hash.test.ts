import fc from 'fast-check';
import { expect, it } from 'vitest';
import { snapshotHash, type Port, type VmSnapshot } from '../../src/vm/index.js';
import { anySnapshot } from './any-snapshot.js';

it('does not depend on the order in which QEMU lists things', () => {
  fc.assert(
    fc.property(anySnapshot, (snapshot) => {
      const turned: VmSnapshot = {
        ...snapshot,
        ports: snapshot.ports.toReversed(),
        devices: snapshot.devices.toReversed(),
        buses: new Map([...snapshot.buses].toReversed()),
        objects: new Map([...snapshot.objects].toReversed()),
      };
      expect(snapshotHash(turned)).toBe(snapshotHash(snapshot));
    }),
  );
});

it('ignores whether the VM runs, and why something is not known', () => {
  fc.assert(
    fc.property(anySnapshot, (snapshot) => {
      const ports = snapshot.ports.map((port) => ({
        ...port,
        mechanism: port.mechanism.known
          ? port.mechanism
          : { known: false as const, reason: 'another' },
      }));
      expect(snapshotHash({ ...snapshot, status: 'paused', ports })).toBe(snapshotHash(snapshot));
    }),
  );
});

const someSnapshot = anySnapshot.filter(({ ports, devices }) => ports.length + devices.length > 0);
const WINDOW = { known: true, value: { base: 1n << 40n, limit: (1n << 41n) - 1n } } as const;

it.each<[string, (port: Port) => Port]>([
  ['an occupant', (port) => ({ ...port, occupants: [...port.occupants, '/machine/new'] })],
  ['a window', (port) => ({ ...port, prefetchableWindow: WINDOW })],
  ['a mechanism', (port) => ({ ...port, mechanism: { known: true, value: 'shpc' } })],
  ['a bus number', (port) => ({ ...port, secondaryBus: { known: true, value: 200 } })],
  ['a reserve', (port) => ({ ...port, memoryReserve: 7n })],
])('changes with %s', (_, change) => {
  fc.assert(
    fc.property(someSnapshot, (snapshot) => {
      const [first, ...rest] = snapshot.ports;
      fc.pre(first !== undefined);
      const changed = { ...snapshot, ports: [change(first), ...rest] };
      expect(snapshotHash(changed)).not.toBe(snapshotHash(snapshot));
    }),
  );
});
