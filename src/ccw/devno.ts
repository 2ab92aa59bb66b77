import { InputError } from '../errors.js';

declare const devnoBrand: unique symbol;

/**
 * Canonical text of a device's address in the channel subsystem, `fe.<ssid>.<number>` in lower-case hex,
 * the number with four digits. Only `formatDevno` makes one.
 */
export type Devno = string & { readonly [devnoBrand]: true };

/** An address in integers. The channel subsystem image is always fe, the one a Linux guest sees. */
export interface DevnoParts {
  /** Subchannel set, 0-3. */
  readonly ssid: number;
  /** Device number in its set, 0-0xffff. */
  readonly number: number;
}

/** Subchannel sets of an image (QEMU include/hw/s390x/css.h, MAX_SSID = 3, 7.2). */
export const SUBCHANNEL_SETS = 4;
/** Device numbers of a set. */
export const SET_SIZE = 0x1_0000;

const DEVNO = /^fe\.([0-3])\.([0-9a-f]{4})$/i;

/**
 * Reads `fe.0.0001`. Another image than fe is refused: QEMU takes it, and the guest never sees the device.
 *
 * @throws {InputError} `BAD_ADDRESS` for any other text.
 */
export function parseDevno(text: string): DevnoParts {
  const match = DEVNO.exec(text);
  if (!match) {
    throw new InputError('BAD_ADDRESS', `Not a device number: ${JSON.stringify(text)}`, {
      remedy: 'write fe, the subchannel set 0-3 and four hex digits, for example fe.0.0001',
    });
  }
  const [, ssid = '', number = ''] = match;
  return { ssid: parseInt(ssid, 16), number: parseInt(number, 16) };
}

/** Writes the canonical form; `parseDevno` reads back the same parts. @throws {InputError} `BAD_ADDRESS`. */
export function formatDevno({ ssid, number }: DevnoParts): Devno {
  if (!isWithin(ssid, SUBCHANNEL_SETS) || !isWithin(number, SET_SIZE)) {
    throw new InputError('BAD_ADDRESS', `No device number ${number} in subchannel set ${ssid}`);
  }
  return `fe.${ssid}.${number.toString(16).padStart(4, '0')}` as Devno;
}

/** Whether the text is a device number, in whatever case. */
export function isDevno(text: string): boolean {
  return DEVNO.test(text);
}

/** The address as a Linux guest shows it: its only image is css 0. `fe.1.0042` is `0.1.0042`. */
export function guestDevno(devno: Devno): string {
  return devno.replace(/^fe/, '0');
}

function isWithin(value: number, size: number): boolean {
  return Number.isInteger(value) && value >= 0 && value < size;
}
