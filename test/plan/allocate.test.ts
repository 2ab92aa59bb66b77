import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { known } from '../../src/known.js';
import { allocatePort, type Fit, type PortRequest } from '../../src/plan/allocate.js';
import { aPort, aVm, aVmDevice, UNREAD } from '../support/snapshots.js';

const request = (change: Partial<PortRequest> = {}): PortRequest => ({
  what: 'd9',
  port: undefined,
  numaNode: -1,
  bootOptions: '--window 16G',
  fit: () => ({ kind: 'fits' }),
  ...change,
});
const free = { taken: new Set<string>(), allowUnknownWindow: false };
const three = [aPort('rp0'), aPort('rp1'), aPort('rp2')];
const refusal = (code: string) => expect.objectContaining({ code }) as unknown;

describe('allocatePort', () => {
  it('takes the lowest-numbered free port, by number and not by text', () => {
    const ports = [aPort('rp10'), aPort('rp9'), aPort('rp2')];
    expect(allocatePort(aVm(ports), request(), free).id).toBe('rp2');
    expect(allocatePort(aVm(ports, [aVmDevice('d', 'rp2')]), request(), free).id).toBe('rp9');
  });

  it('counts anything on the bus as an occupant, also what has no id', () => {
    const anonymous = aVmDevice('x', 'rp0', {
      id: undefined,
      path: '/machine/peripheral-anon/d[0]',
    });
    expect(allocatePort(aVm(three, [anonymous]), request(), free).id).toBe('rp1');
  });

  it('re-uses a port that was freed before one that never was used', () => {
    const devices = [aVmDevice('b', 'rp1')];
    expect(allocatePort(aVm(three, devices), request(), free).id).toBe('rp0');
  });

  it('prefers ports near the device', () => {
    const ports = [aPort('rp0', { numaNode: 0 }), aPort('rp1', { numaNode: 1 })];
    expect(allocatePort(aVm(ports), request({ numaNode: 1 }), free).id).toBe('rp1');
    expect(allocatePort(aVm(ports), request({ numaNode: 3 }), free).id).toBe('rp0');
  });

  it('passes over ports that are promised, closed to hot-plug, or cannot be judged', () => {
    const ports = [
      aPort('rp0'),
      aPort('rp1', { mechanism: known('none') }),
      aPort('rp2', { mechanism: UNREAD }),
      aPort('rp3'),
    ];
    const taken = new Set(['rp0']);
    expect(allocatePort(aVm(ports), request(), { ...free, taken }).id).toBe('rp3');
  });

  it('names every port and its occupant when none is free', () => {
    const vm = aVm([aPort('rp0')], [aVmDevice('d0', 'rp0')]);
    expect(() => allocatePort(vm, request(), free)).toThrow(
      expect.objectContaining({
        code: 'NO_FREE_PORT',
        message: 'd9: no free port (rp0 holds d0)',
        remedy: expect.stringContaining('boot-args') as string,
      }),
    );
    expect(() => allocatePort(aVm([]), request(), free)).toThrow(/has no ports at all/);
  });

  it.each([
    ['rp7', 'NO_SUCH_PORT'],
    ['rp0', 'PORT_OCCUPIED'],
    ['rp1', 'PORT_NOT_HOTPLUGGABLE'],
  ])('refuses the named port %s: %s', (port, code) => {
    const ports = [aPort('rp0'), aPort('rp1', { mechanism: known('none') }), aPort('rp2')];
    const vm = aVm(ports, [aVmDevice('d0', 'rp0')]);
    expect(() => allocatePort(vm, request({ port }), free)).toThrow(refusal(code));
  });

  it('takes the first port that fits, and never one that only may', () => {
    const fits = new Map<string, Fit>([
      ['rp0', { kind: 'no', why: 'too small' }],
      ['rp1', { kind: 'unknown', why: 'no window yet' }],
      ['rp2', { kind: 'fits' }],
    ]);
    const fit = ({ id }: { id: string }) => fits.get(id) ?? { kind: 'fits' };
    expect(allocatePort(aVm(three), request({ fit }), free).id).toBe('rp2');
    fits.set('rp2', { kind: 'no', why: 'too small' });
    expect(() => allocatePort(aVm(three), request({ fit }), free)).toThrow(
      refusal('WINDOW_UNKNOWN'),
    );
    const allowed = { ...free, allowUnknownWindow: true };
    expect(allocatePort(aVm(three), request({ fit }), allowed).id).toBe('rp1');
    fits.set('rp1', { kind: 'no', why: 'closed' });
    expect(() => allocatePort(aVm(three), request({ fit }), allowed)).toThrow(
      expect.objectContaining({
        code: 'NO_WINDOW',
        message: expect.stringContaining('rp0: too small; rp1: closed') as string,
      }),
    );
  });

  it('never gives one port twice, whatever comes and goes', () => {
    const count = 6;
    const ports = Array.from({ length: count }, (_, index) => aPort(`rp${index}`));
    const action = fc.oneof(
      fc.record({ kind: fc.constant('attach' as const) }),
      fc.record({ kind: fc.constant('detach' as const), index: fc.nat(count - 1) }),
    );
    fc.assert(
      fc.property(fc.array(action, { maxLength: 40 }), (actions) => {
        const inside: { id: string; port: string }[] = [];
        let made = 0;
        for (const step of actions) {
          if (step.kind === 'detach') {
            inside.splice(step.index, 1);
            continue;
          }
          const vm = aVm(
            ports,
            inside.map(({ id, port }) => aVmDevice(id, port)),
          );
          if (inside.length === count) {
            expect(() => allocatePort(vm, request(), free)).toThrow(refusal('NO_FREE_PORT'));
            continue;
          }
          made += 1;
          inside.push({ id: `d${made}`, port: allocatePort(vm, request(), free).id });
          expect(new Set(inside.map(({ port }) => port)).size).toBe(inside.length);
        }
      }),
    );
  });
});
