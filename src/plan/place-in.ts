import { formatDevno, isDevno, lowestFreeDevno, parseDevno, type Devno } from '../ccw/index.js';
import { NoFitError, RefusedError } from '../errors.js';
import { orElse, type Known } from '../known.js';
import type { Bar } from '../pci/bar.js';
import type { Port, VmSnapshot } from '../vm/types.js';
import { allocatePort } from './allocate.js';
import { bootOptionsForBars } from './boot-options.js';
import type { BusKind } from './bus-kind.js';
import { fitOnPort } from './fit.js';
import { formatAddr } from './placement.js';
import type { AddDevice } from './steps.js';

/** The part of a step that says where its device goes. */
export type PlannedPlace = Pick<AddDevice, 'port' | 'bus' | 'busPath' | 'addr' | 'devfn'>;

interface PlaceRequest {
  /** For messages: the id. */
  readonly what: string;
  readonly bus: BusKind;
  /** A port named by the user; on a channel subsystem also an address, `fe.1.0042`. */
  readonly port: string | undefined;
  readonly bars: Known<readonly Bar[]>;
  /** Where the BARs or the windows are not known, any port is as good as another. */
  readonly mayGuess: boolean;
}

/**
 * Where a device goes that has a place to itself: an emulated one, or an mdev.
 *
 * @throws {RefusedError} as `allocatePort`, and `PORT_OCCUPIED` for an address that is taken.
 */
export function placeIn(
  vm: VmSnapshot,
  { what, bus, port: named, bars, mayGuess }: PlaceRequest,
): PlannedPlace {
  const devno = bus === 'ccw' && named !== undefined && isDevno(named) ? named : undefined;
  const port = allocatePort(
    vm,
    {
      what,
      bus,
      port: devno === undefined ? named : `ccw${parseDevno(devno).ssid}`,
      numaNode: -1,
      bootOptions: bootOptionsForBars(orElse(bars, [])),
      fit: (candidate) => {
        if (bars.known) return fitOnPort(candidate, bars.value);
        return mayGuess ? { kind: 'fits' } : { kind: 'unknown', why: bars.reason };
      },
    },
    { taken: new Set(), allowUnknownWindow: mayGuess },
  );
  switch (bus) {
    case 'pci':
      return placeOnPci(port, 0);
    case 'ccw':
      return placed(port, devno === undefined ? freeDevno(vm, port) : checkedDevno(vm, devno));
    case 'ap':
      return placed(port, '');
  }
}

/** A function of a port's slot. */
export function placeOnPci(port: Port, fn: number): PlannedPlace {
  return { ...placed(port, formatAddr(port.slot, fn)), devfn: port.slot * 8 + fn };
}

/** Another function of the slot whose function 0 has this place. */
export function functionAt(place: PlannedPlace, fn: number): PlannedPlace {
  const { devfn } = place;
  return devfn === undefined || fn === 0
    ? place
    : { ...place, addr: formatAddr(devfn >> 3, fn), devfn: devfn + fn };
}

function placed(port: Port, addr: string): PlannedPlace {
  return { port: port.id, bus: port.busName, busPath: port.busPath, addr, devfn: undefined };
}

function freeDevno(vm: VmSnapshot, port: Port): Devno {
  const devno = lowestFreeDevno(port.slot, vm.channels?.devnos ?? []);
  if (devno !== undefined) return devno;
  throw new NoFitError('NO_FREE_PORT', `${port.id}: all its device numbers are taken`, {
    remedy: 'choose another subchannel set: --port ccw0 to ccw3',
    details: { port: port.id },
  });
}

function checkedDevno(vm: VmSnapshot, text: string): Devno {
  const devno = formatDevno(parseDevno(text));
  if (!(vm.channels?.devnos ?? []).includes(devno)) return devno;
  const holder = vm.devices.find((device) => device.devno === devno);
  throw new RefusedError(
    'PORT_OCCUPIED',
    `${devno} is the address of ${holder?.id ?? 'a device'}`,
    {
      remedy: 'choose another number, or name the set only: --port ccw0 to ccw3',
      details: { port: devno, occupants: holder === undefined ? [] : [holder.path] },
    },
  );
}
