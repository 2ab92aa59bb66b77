import { listOrNone, readAttribute } from '../../host/reading.js';
import { formatSize } from '../../pci/size.js';
import type { DeviceCheck } from '../check.js';
import { ok, seen, skip, unknownAnswer, warn } from '../finding.js';

const path = (bdf: string, name: string) => `/sys/bus/pci/devices/${bdf}/${name}`;
const DEEP = 'asked for with --deep: it wakes a sleeping device';

export const link: DeviceCheck = {
  id: 'dev.link',
  about: 'with `--deep`: whether the link runs at full speed and width',
  needs: 'device',
  async run({ effects, bdf, deep, record: { maxLink } }) {
    if (!deep) return skip(DEEP);
    if (!maxLink.known) return unknownAnswer(maxLink.reason);
    const speed = await readAttribute(effects, path(bdf, 'current_link_speed'));
    const width = await readAttribute(effects, path(bdf, 'current_link_width'));
    const { speed: most, width: widest } = maxLink.value;
    const [now, lanes] = [parseFloat(speed ?? ''), Number(width)];
    if (most === undefined || widest === undefined || !(now > 0) || !(lanes > 0)) {
      return skip('it has no link, or the kernel does not tell');
    }
    const read = [
      seen(path(bdf, 'current_link_speed'), `${now} of ${most} GT/s`),
      seen(path(bdf, 'current_link_width'), `${lanes} of ${widest} lanes`),
    ];
    return now < most || lanes < widest
      ? warn(
          `${now} GT/s by ${lanes} lanes; it could do ${most} by ${widest}`,
          "look again under load; else: another slot, reseat it, or the firmware's setting",
          ...read,
        )
      : ok(`${now} GT/s by ${lanes} lanes`, ...read);
  },
};

export const rebar: DeviceCheck = {
  id: 'dev.rebar',
  about: 'with `--deep`: whether a BAR is smaller than the device can make it',
  needs: 'device',
  async run({ effects, bdf, deep, record: { bars } }) {
    const names = await listOrNone(effects, path(bdf, ''));
    const numbers = names.flatMap((name) => /^resource(\d)_resize$/.exec(name)?.[1] ?? []).sort();
    if (numbers.length === 0) return skip('no BAR can be resized');
    if (!deep)
      return skip(DEEP, seen(path(bdf, ''), numbers.map((n) => `resource${n}_resize`).join(', ')));
    if (!bars.known) return unknownAnswer(bars.reason);
    const read = [];
    const small = [];
    for (const number of numbers) {
      const attribute = path(bdf, `resource${number}_resize`);
      const bitmap = await readAttribute(effects, attribute);
      if (bitmap === undefined || !/^[0-9a-f]+$/i.test(bitmap)) continue;
      // Bit n stands for 2^(n+20) bytes: Linux drivers/pci/pci-sysfs.c, resource_resize_show.
      const most = 1n << BigInt(BigInt(`0x${bitmap}`).toString(2).length - 1 + 20);
      const size = bars.value.find(({ index }) => index === Number(number))?.sizeBytes ?? 0n;
      read.push(seen(attribute, `${formatSize(size)} of ${formatSize(most)}`));
      if (size < most) small.push({ number, most });
    }
    const [first] = small;
    return first === undefined
      ? ok('they are as large as can be', ...read)
      : warn(
          `BAR ${first.number} could have ${formatSize(first.most)}`,
          `unbound, and with room in the VM's window: echo ${bitOf(first.most)} > ${path(bdf, `resource${first.number}_resize`)}`,
          ...read,
        );
  },
};

const bitOf = (bytes: bigint) => bytes.toString(2).length - 1 - 20;
