import type { Bdf } from '../../pci/pci-address.js';
import { listOrNone, readAttribute } from '../reading.js';
import type { UseFinding } from '../types.js';
import { describeOpeners, unreadable, type Guard, type GuardContext } from './guard.js';

/** A device node that belongs to a function, and what its being open means. */
interface FunctionNode {
  readonly path: string;
  readonly level: UseFinding['level'];
}

/**
 * Nodes by class. Display and sound servers keep theirs open all the time and cope with the loss;
 * a controller whose commands are under way does not.
 */
const NODES = [
  { directory: '/sys/class/drm', prefix: '/dev/dri/', names: /^(card|renderD)\d+$/, level: 'warn' },
  {
    directory: '/sys/class/sound',
    prefix: '/dev/snd/',
    names: /^(pcm|control|hw|midi)C/,
    level: 'warn',
  },
  { directory: '/sys/class/nvme', prefix: '/dev/', names: /^nvme\d+$/, level: 'block' },
  { directory: '/sys/class/nvme-generic', prefix: '/dev/', names: /^ng\d+n\d+$/, level: 'block' },
  {
    directory: '/sys/class/accel',
    prefix: '/dev/accel/',
    names: /^accel\d+$/,
    level: 'block',
  },
  {
    directory: '/sys/class/infiniband_verbs',
    prefix: '/dev/infiniband/',
    names: /^uverbs\d+$/,
    level: 'block',
  },
] as const;

/**
 * Processes that have a device node of the function open. An NVIDIA driver with users never lets go of
 * its device: the unbind hangs, and the caller with it (open-gpu-kernel-modules 1119, 1374).
 */
export const deviceFileGuard: Guard = {
  subject: 'files',
  find: async (context, { bdf }) => {
    const nodes = [...(await classNodes(context, bdf)), ...(await nvidiaNodes(context, bdf))];
    const findings: UseFinding[] = [];
    for (const { path, level } of nodes) {
      const openers = await describeOpeners(context, path);
      if (openers.length === 0) continue;
      findings.push({
        bdf,
        level,
        reason: 'in-use.open',
        evidence: `${path} is open in ${openers.join(', ')}`,
        remedy: remedyFor(path),
      });
    }
    if (context.blindness === undefined || nodes.length === 0) return findings;
    const level = nodes.some((node) => node.level === 'block') ? 'block' : 'warn';
    return [...findings, { ...unreadable(bdf, 'files', context.blindness), level }];
  },
};

function remedyFor(path: string): string {
  return path.startsWith('/dev/nvidia')
    ? 'stop those programs; nvidia-persistenced: systemctl stop nvidia-persistenced'
    : 'stop those programs';
}

async function classNodes(context: GuardContext, bdf: Bdf): Promise<readonly FunctionNode[]> {
  const perClass = NODES.map(async ({ directory, prefix, names, level }) => {
    const below = await context.below(directory, bdf);
    return below
      .filter(({ name }) => names.test(name))
      .map(({ name }) => ({ path: prefix + name, level }));
  });
  return (await Promise.all(perClass)).flat();
}

async function nvidiaNodes({ effects }: GuardContext, bdf: Bdf): Promise<readonly FunctionNode[]> {
  const text = await readAttribute(effects, `/proc/driver/nvidia/gpus/${bdf}/information`);
  const minor = /^Device Minor:\s*(\d+)/m.exec(text ?? '')?.[1];
  if (minor === undefined) return [];
  // These two serve every GPU of the driver; with one GPU alone it is that one.
  const gpus = await listOrNone(effects, '/proc/driver/nvidia/gpus');
  const level = gpus.length > 1 ? 'warn' : 'block';
  return [
    { path: `/dev/nvidia${minor}`, level: 'block' },
    { path: '/dev/nvidia-uvm', level },
    { path: '/dev/nvidia-modeset', level },
  ];
}
