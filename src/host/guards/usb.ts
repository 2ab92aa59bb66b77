import type { Bdf } from '../../pci/pci-address.js';
import { pciFunctionsOn } from '../class-devices.js';
import { readAttribute } from '../reading.js';
import type { Guard } from './guard.js';

/** Name and controller path of a keyboard. */
interface Keyboard {
  readonly name: string;
  readonly functions: readonly Bdf[];
}

/**
 * Keyboards in /proc/bus/input/devices. The `sysrq` handler goes to devices with real keys only; power
 * buttons have `kbd` as well (Linux drivers/tty/sysrq.c, sysrq_ids).
 */
export function parseKeyboards(text: string): readonly Keyboard[] {
  return text.split('\n\n').flatMap((block) => {
    const handlers = /^H: Handlers=(.*)$/m.exec(block)?.[1]?.split(' ') ?? [];
    if (!handlers.includes('sysrq')) return [];
    const name = /^N: Name="(.*)"$/m.exec(block)?.[1] ?? 'keyboard';
    return [{ name, functions: pciFunctionsOn(/^S: Sysfs=(.*)$/m.exec(block)?.[1] ?? '') }];
  });
}

/** What is plugged into a USB controller, and the only keyboard above all. */
export const usbGuard: Guard = {
  subject: 'usb',
  find: async (context, { bdf }) => {
    const keyboards = parseKeyboards(
      (await readAttribute(context.effects, '/proc/bus/input/devices')) ?? '',
    );
    const own = keyboards.filter(({ functions }) => functions.includes(bdf));
    const [first] = own;
    if (first !== undefined && own.length === keyboards.length) {
      return [
        {
          bdf,
          level: 'block',
          reason: 'in-use.input',
          evidence: `the host's only keyboard is on it: ${first.name}`,
          remedy: 'plug the keyboard into another controller, or make sure of SSH',
        },
      ];
    }
    const plugged = (await context.below('/sys/bus/usb/devices', bdf))
      .map(({ name }) => name)
      // `1-2` is a device; `usb1` a root hub and `1-2:1.0` an interface.
      .filter((name) => /^\d+-[\d.]+$/.test(name));
    if (plugged.length === 0) return [];
    return [
      {
        bdf,
        level: 'warn',
        reason: 'in-use.usb',
        evidence: `USB devices ${plugged.join(', ')} go with it`,
        remedy: 'unplug them or move them to another controller',
      },
    ];
  },
};
