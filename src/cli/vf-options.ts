import { InputError, isUnicastMac, type VfChange } from '../index.js';
import type { ReadValue } from './option-values.js';

/** What one option says of one virtual function. */
export interface VfSetting {
  readonly index: number;
  readonly change: VfChange;
}

const MOST_VLAN = 4094;

/** `0=52:54:00:12:34:56` */
export const vfMac = vfOption('the address of one interface, 0=52:54:00:12:34:56', (text) =>
  isUnicastMac(text) ? { mac: text.toLowerCase() } : undefined,
);

/** `0=100` */
export const vfVlan = vfOption(`a VLAN from 1 to ${MOST_VLAN}, or 0 for none: 0=100`, (text) =>
  /^\d{1,4}$/.test(text) && Number(text) <= MOST_VLAN ? { vlan: Number(text) } : undefined,
);

/** `0=on` */
export const vfTrust = vfOption('on or off: 0=on', (text) => {
  const on = switchOf(text);
  return on === undefined ? undefined : { trust: on };
});

/** `0=off` */
export const vfSpoofCheck = vfOption('on or off: 0=off', (text) => {
  const on = switchOf(text);
  return on === undefined ? undefined : { spoofCheck: on };
});

function vfOption(
  expected: string,
  read: (text: string) => VfChange | undefined,
): ReadValue<VfSetting> {
  return (value, flag) => {
    const [, index = '', text = ''] = /^(\d{1,5})=(.*)$/.exec(value) ?? [];
    const change = index === '' ? undefined : read(text);
    if (change !== undefined) return { index: Number(index), change };
    throw new InputError(
      'BAD_ARGUMENT',
      `${flag}: ${JSON.stringify(value)} is no setting of a VF`,
      {
        remedy: `the number of the virtual function, and ${expected}`,
      },
    );
  };
}

function switchOf(text: string): boolean | undefined {
  return text === 'on' ? true : text === 'off' ? false : undefined;
}
