import { renameSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { formatPin, InputError, pinDevice, RefusedError, type Pin } from '../../../index.js';
import { addChoiceOptions, chooseDevices, type ChoiceOptions } from '../../choose-devices.js';
import type { RunWork } from '../../command-context.js';
import { EXIT } from '../../exit-status.js';
import { checkReplaceableFile } from '../../files.js';
import { once, text } from '../../option-values.js';
import { toJson } from '../../to-json.js';
import { addJsonOption } from '../../vm-options.js';

interface PinOptions extends ChoiceOptions {
  readonly output?: string;
}

const HELP = `
Examples:
  qmplug host pin 'id:10de:2204 slot:3' -o /etc/qmplug/gpu0.pin
  qmplug host resolve 'id:10de:2204' --pin /etc/qmplug/gpu0.pin

Writes down which devices the selector means now: address, place, ids, serial number, slot, group and driver.
Serial numbers are read for it, which wakes a sleeping device and needs root. A later use with --pin holds the
devices to it.

JSON: {"file","pin":{"selector","selectorHash","time","devices":[...]}}`;

export function defineHostPin(host: Command, run: RunWork): Command {
  const command = host
    .command('pin')
    .description('Writes down the identity of devices, to be held to later.')
    .argument('<selector>', 'an address, terms, or the structured form as JSON')
    .option('-o, --output <file>', 'where to write it', once('--output', text))
    .addHelpText('after', HELP);
  return addJsonOption(addChoiceOptions(command)).action((selector: string, options: PinOptions) =>
    run(async (context) => {
      if (options.output === undefined) {
        throw new InputError('BAD_ARGUMENT', 'No file is named', {
          remedy: 'give it with -o FILE',
        });
      }
      const file = resolve(options.output);
      checkReplaceableFile(file, '--output');
      const serial = [...(options.order ?? []), 'serial'];
      const { resolution } = await chooseDevices(
        context,
        selector,
        { ...options, order: serial },
        { readAll: true },
      );
      const { chosen, set, selectorHash, selector: canonical } = resolution;
      const pin: Pin = {
        selector: canonical,
        selectorHash,
        time: new Date().toISOString(),
        devices: chosen.map((candidate) => pinDevice(candidate, set)),
      };
      writeWhole(file, formatPin(pin));
      context.output.result(toJson({ file, pin }), () =>
        pin.devices
          .map(({ bdf, serial: number }) => `${bdf}  ${number ?? 'no serial number'}`)
          .join('\n'),
      );
      return EXIT.done;
    }),
  );
}

/** A reader sees the old file or the new one. */
function writeWhole(file: string, content: string): void {
  try {
    const draft = `${file}.${process.pid}.next`;
    writeFileSync(draft, content, { mode: 0o644 });
    renameSync(draft, file);
  } catch (cause) {
    throw new RefusedError('DENIED', `${file} cannot be written`, {
      cause,
      remedy: 'run as root, or name another file',
      details: { file },
    });
  }
}
