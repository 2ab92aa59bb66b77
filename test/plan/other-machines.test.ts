import { describe, expect, it } from 'vitest';
import { formatDevno, parseDevno } from '../../src/ccw/index.js';
import { known } from '../../src/known.js';
import { planAttach } from '../../src/plan/plan-attach.js';
import { planForeignDetach } from '../../src/plan/plan-detach.js';
import type { EmulatedRequest, MdevDriver } from '../../src/plan/request.js';
import type { AddDevice, HotplugStep } from '../../src/plan/steps.js';
import type { Port, VmDevice, VmSnapshot, ZpciFunction } from '../../src/vm/types.js';
import { aHost, aPort, aVm, aVmDevice, aWorld } from '../support/snapshots.js';

const NONE: ReadonlySet<string> = new Set();
const CHANNEL = '/machine/virtual-css-bridge/virtual-css';
const devno = (text: string) => formatDevno(parseDevno(text));

function emulate(driver: string, id: string, change: Partial<EmulatedRequest> = {}) {
  const request: EmulatedRequest = {
    kind: 'emulated',
    id,
    device: { driver },
    port: undefined,
    allow: NONE,
    awaitPlaced: false,
    ...change,
  };
  return (vm: VmSnapshot): readonly HotplugStep[] => {
    const planning = planAttach(request, aWorld({ vm }));
    return planning.kind === 'plan' ? planning.plan.steps : [];
  };
}

const addOf = (steps: readonly HotplugStep[]) =>
  steps.find((step): step is AddDevice => step.kind === 'AddDevice');

/** The slots of a bridge that is a device of the VM. */
function slotsOf(bridge: string, slots: readonly number[], devices: readonly VmDevice[]): Port[] {
  return slots.map((slot) =>
    aPort(`${bridge}.${slot}`, {
      kind: 'pci-bridge-slot',
      busPath: `/machine/peripheral/${bridge}/${bridge}`,
      busName: bridge,
      slot,
      occupants: devices.filter(({ devfn }) => devfn === slot * 8).map(({ path }) => path),
    }),
  );
}

describe('slots of a bridge', () => {
  const inSlot = (id: string, slot: number) => aVmDevice(id, 'pb0', { devfn: slot * 8 });
  const devices = [inSlot('one', 1), inSlot('three', 3)];
  const ports = slotsOf('pb0', [1, 2, 3, 4], devices);
  const vm: VmSnapshot = { ...aVm([]), ports, devices };

  it('takes the lowest that is free, whoever is in the others', () => {
    expect(addOf(emulate('pci-testdev', 'new')(vm))).toMatchObject({
      port: 'pb0.2',
      bus: 'pb0',
      addr: '0x2',
      devfn: 16,
    });
  });

  it('prefers PCI Express', () => {
    const mixed = { ...vm, ports: [...ports, aPort('rp7')] };
    expect(addOf(emulate('pci-testdev', 'new')(mixed))?.port).toBe('rp7');
  });

  it('takes out what is in the slot and leaves the neighbours', () => {
    const [three] = devices.slice(1);
    const plan = planForeignDetach(three ?? inSlot('x', 0), aWorld({ vm }), NONE);
    expect(plan.steps[0]).toEqual({
      kind: 'RemoveDevice',
      port: 'pb0.3',
      id: 'three',
      ids: ['three'],
    });
  });

  it('takes out all functions of a slot only where that is meant', () => {
    const second = aVmDevice('second', 'pb0', { devfn: 3 * 8 + 1 });
    const shared = { ...vm, devices: [...devices, second] };
    const detach = (allow: ReadonlySet<string>) =>
      planForeignDetach(second, aWorld({ vm: shared }), allow).steps[0];
    expect(() => detach(NONE)).toThrow(expect.objectContaining({ code: 'SLOT_SHARED' }));
    expect(detach(new Set(['slot-mates']))).toMatchObject({ ids: ['second', 'three'] });
  });
});

describe('an s390x VM', () => {
  const AP = aPort('ap', {
    kind: 'ap-bus',
    busPath: '/machine/ap-bridge/ap-bus',
    busName: 'ap-bus',
    mechanism: known('ap'),
    path: [],
  });
  const UUID = '11111111-2222-3333-4444-555555555555';
  const lend = (driver: MdevDriver, vm: VmSnapshot, port?: string) => {
    const request = { kind: 'mdev', uuid: UUID, group: 4, driver, port, allow: NONE } as const;
    const planning = planAttach(
      { ...request, awaitPlaced: false },
      aWorld({ vm, host: aHost([]) }),
    );
    return planning.kind === 'plan' ? planning.plan.steps : [];
  };

  const sets = [0, 1, 2, 3].map((ssid) =>
    aPort(`ccw${ssid}`, {
      kind: 'ccw-bridge',
      busPath: CHANNEL,
      busName: 'virtual-css',
      slot: ssid,
      capacity: 0x1_0000,
      mechanism: known('ccw'),
      path: [],
    }),
  );
  const pciSlots = [0, 1].map((slot) =>
    aPort(`pci.0.${slot}`, {
      kind: 'root-bus-slot',
      busPath: '/machine/s390-pcihost/pci.0',
      busName: 'pci.0',
      slot,
      path: [],
      mechanism: known('zpci'),
    }),
  );
  const channelDevice = (id: string, address: string): VmDevice => ({
    ...aVmDevice(id, ''),
    type: 'virtio-rng-ccw',
    parentBus: CHANNEL,
    devfn: undefined,
    devno: devno(address),
  });
  const vmWith = (
    devices: readonly VmDevice[],
    zpci: readonly ZpciFunction[] = [],
  ): VmSnapshot => ({
    ...aVm([]),
    ports: [...sets, ...pciSlots],
    devices,
    channels: { devnos: devices.flatMap((device) => device.devno ?? []), zpci },
  });
  const zpci = (target: string, uid: number, id?: string): ZpciFunction => ({
    id,
    path: `/machine/peripheral/${id}`,
    uid,
    fid: uid - 1,
    target,
  });

  it('gives channel devices the lowest free number, of the set that is named', () => {
    const vm = vmWith([channelDevice('a', 'fe.0.0000'), channelDevice('b', 'fe.1.0001')]);
    const add = (port?: string) => addOf(emulate('virtio-rng-ccw', 'new', { port })(vm));
    expect(add()).toMatchObject({ port: 'ccw0', bus: 'virtual-css', addr: 'fe.0.0001' });
    expect(add('ccw1')).toMatchObject({ port: 'ccw1', addr: 'fe.1.0000' });
    expect(add('fe.3.BEEF')).toMatchObject({ port: 'ccw3', addr: 'fe.3.beef', devfn: undefined });
    expect(() => add('fe.1.0001')).toThrow(expect.objectContaining({ code: 'PORT_OCCUPIED' }));
    expect(() => add('pci.0.0')).toThrow(/is not for new/);
  });

  it('keeps channel devices and PCI functions apart', () => {
    expect(addOf(emulate('virtio-rng-pci', 'new')(vmWith([])))).toMatchObject({ port: 'pci.0.0' });
    expect(() => emulate('virtio-rng-ccw', 'new')(aVm([aPort('rp0')]))).toThrow(
      /no channel subsystem/,
    );
  });

  it('lends a subchannel as a channel device, with a number of its own', () => {
    const vm = vmWith([channelDevice('a', 'fe.0.0000')]);
    expect(lend('vfio-ccw', vm).map(({ kind }) => kind)).toEqual([
      'ReserveGroup',
      'GrantAccess',
      'AddDevice',
    ]);
    expect(addOf(lend('vfio-ccw', vm))).toMatchObject({
      id: 'vfio_device_4_0',
      driver: 'vfio-ccw',
      port: 'ccw0',
      bus: 'virtual-css',
      addr: 'fe.0.0001',
      devfn: undefined,
      host: UUID,
      properties: { sysfsdev: `/sys/bus/mdev/devices/${UUID}` },
    });
    expect(addOf(lend('vfio-ccw', vm, 'fe.1.1234'))).toMatchObject({ addr: 'fe.1.1234' });
    expect(() => lend('vfio-ccw', vm, 'pci.0.0')).toThrow(/is not for 1111/);
  });

  it('lends one matrix of crypto queues, where the machine has the bus for it', () => {
    const vm = { ...vmWith([]), ports: [...sets, ...pciSlots, AP] };
    expect(addOf(lend('vfio-ap', vm))).toMatchObject({
      driver: 'vfio-ap',
      port: 'ap',
      addr: '',
      devfn: undefined,
      properties: { sysfsdev: `/sys/bus/mdev/devices/${UUID}` },
    });
    const taken = { ...vm, ports: [{ ...AP, occupants: ['/machine/peripheral/other'] }] };
    for (const without of [taken, vmWith([])]) {
      expect(() => lend('vfio-ap', without)).toThrow(
        expect.objectContaining({ code: 'NO_FREE_PORT' }),
      );
    }
  });

  it('pins the RAM of the guest for a PCI function only', () => {
    const access = (driver: MdevDriver, vm: VmSnapshot) =>
      lend(driver, vm).find((step) => step.kind === 'GrantAccess');
    const vm = { ...vmWith([]), ports: [...sets, AP] };
    expect(access('vfio-ccw', vm)).toMatchObject({ group: 4, memlockBytes: undefined });
    expect(access('vfio-ap', vm)).toMatchObject({ group: 4, memlockBytes: undefined });
  });

  it('takes one channel device out of a set and leaves the others', () => {
    const devices = [channelDevice('a', 'fe.1.0000'), channelDevice('b', 'fe.1.0001')];
    const [, b] = devices;
    const plan = planForeignDetach(
      b ?? channelDevice('x', 'fe.0.0000'),
      aWorld({ vm: vmWith(devices) }),
      NONE,
    );
    expect(plan.steps[0]).toMatchObject({ port: 'ccw1', id: 'b', ids: ['b'] });
  });

  const withNumbers = (uid?: number, fid?: number) =>
    emulate('virtio-rng-pci', 'net0', { zpci: { uid, fid } });

  it('makes the partner first where its numbers are asked for, and only there', () => {
    expect(emulate('virtio-rng-pci', 'net0')(vmWith([])).map(({ kind }) => kind)).toEqual([
      'AddDevice',
    ]);
    const [partner, device] = withNumbers(7, 9)(vmWith([]));
    expect(partner).toEqual({ kind: 'AddZpci', id: 'zpci_net0', target: 'net0', uid: 7, fid: 9 });
    expect(device).toMatchObject({ kind: 'AddDevice', id: 'net0' });
  });

  it('uses a partner again that a failed attach has left behind', () => {
    const vm = vmWith([], [zpci('net0', 7, 'zpci_net0')]);
    expect(withNumbers(7)(vm).map(({ kind }) => kind)).toEqual(['AddDevice']);
    expect(() => withNumbers(8)(vm)).toThrow(/until the VM ends/);
  });

  it('refuses numbers of another device, numbers out of range, and other machines', () => {
    const vm = vmWith([], [zpci('other', 7)]);
    expect(() => withNumbers(7)(vm)).toThrow(expect.objectContaining({ code: 'ID_TAKEN' }));
    expect(() => withNumbers(1, 6)(vm)).toThrow(expect.objectContaining({ code: 'ID_TAKEN' }));
    for (const uid of [0, 65_536, 1.5]) {
      expect(() => withNumbers(uid)(vm)).toThrow(/1 to 65535/);
    }
    expect(() => withNumbers(1, 2 ** 32)(vm)).toThrow(/0 to 4294967295/);
    expect(() => withNumbers(1)(aVm([aPort('rp0')]))).toThrow(/Only an s390x VM/);
  });

  it('never takes out a partner by itself', () => {
    const partner = { ...aVmDevice('z0', ''), type: 'zpci', path: '/machine/peripheral/z0' };
    const vm = vmWith([partner], [zpci('gone', 3, 'z0')]);
    const detach = () => planForeignDetach(partner, aWorld({ vm }), NONE);
    expect(detach).toThrow(/is the zpci of gone and goes with it/);
    expect(detach).toThrow(expect.objectContaining({ code: 'NOT_REMOVABLE' }));
  });

  it('awaits the partner that was made for a device along with it', () => {
    const device: VmDevice = {
      ...aVmDevice('net0', ''),
      parentBus: '/machine/s390-pcihost/pci.0',
      devfn: 0,
    };
    const vm = vmWith([device], [zpci('net0', 3, 'zpci_net0')]);
    const plan = planForeignDetach(device, aWorld({ vm }), NONE);
    expect(plan.steps).toMatchObject([
      { kind: 'RemoveDevice', id: 'net0' },
      { kind: 'AwaitRemoval', ids: ['net0', 'zpci_net0'] },
    ]);
  });
});

it.each(['vfio-pci', 'vfio-ccw', 'vfio-ap', 'zpci'])(
  'refuses %s as an emulated device',
  (driver) => {
    expect(() => emulate(driver, 'x')(aVm([aPort('rp0')]))).toThrow(
      expect.objectContaining({ code: 'PROPERTY_NOT_ALLOWED' }),
    );
  },
);
