import { listOrNone, readAttribute } from '../reading.js';
import type { HostDevice, UseFinding } from '../types.js';
import type { Guard, GuardContext } from './guard.js';

/**
 * The kernel's own consoles. A display driver that is unbound under the frame buffer console can hang or crash
 * the host; a serial console goes with its card.
 */
export const consoleGuard: Guard = {
  subject: 'console',
  find: async (context, device) => [
    ...(await findFrameBuffer(context, device)),
    ...(await findSerial(context, device)),
  ],
};

async function findFrameBuffer(
  context: GuardContext,
  { bdf, bootVga, driver }: HostDevice,
): Promise<readonly UseFinding[]> {
  const own = await context.below('/sys/class/graphics', bdf);
  const buffers = own.map(({ name }) => name).filter((name) => /^fb\d+$/.test(name));
  // The firmware's frame buffer is a platform device, but it lies in the memory of the boot VGA.
  const isFirmware = buffers.length === 0 && bootVga && driver === undefined;
  if (buffers.length === 0 && !(isFirmware && (await hasFirmwareBuffer(context)))) return [];
  const console = await findBoundConsole(context);
  if (console === undefined) return [];
  const what = isFirmware ? 'the firmware frame buffer' : buffers.join(', ');
  return [
    {
      bdf,
      level: 'block',
      reason: 'in-use.console',
      evidence: `the console is on ${what} (${console})`,
      remedy: `take the console off it: echo 0 > /sys/class/vtconsole/${console}/bind`,
    },
  ];
}

/** The virtual terminal driver that draws on frame buffers, while it has the consoles. */
async function findBoundConsole({ effects }: GuardContext): Promise<string | undefined> {
  for (const name of [...(await listOrNone(effects, '/sys/class/vtconsole'))].sort()) {
    const directory = `/sys/class/vtconsole/${name}`;
    const draws = await readAttribute(effects, `${directory}/name`);
    const isBound = (await readAttribute(effects, `${directory}/bind`)) === '1';
    if (isBound && draws?.includes('frame buffer') === true) return name;
  }
  return undefined;
}

async function hasFirmwareBuffer({ effects }: GuardContext): Promise<boolean> {
  const names = await listOrNone(effects, '/sys/class/graphics');
  return names.some((name) => /^fb\d+$/.test(name));
}

async function findSerial(
  context: GuardContext,
  { bdf }: HostDevice,
): Promise<readonly UseFinding[]> {
  const active = await readAttribute(context.effects, '/sys/class/tty/console/active');
  const consoles = (active ?? '').split(/\s+/).filter(Boolean);
  const own = (await context.below('/sys/class/tty', bdf)).map(({ name }) => name);
  const used = own.filter((name) => consoles.includes(name));
  if (used.length === 0) return [];
  return [
    {
      bdf,
      level: 'block',
      reason: 'in-use.console',
      evidence: `the kernel's console is on ${used.join(', ')}`,
      remedy: 'boot with console= on another port',
    },
  ];
}
