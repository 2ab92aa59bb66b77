import { effectiveArgument } from '../command-line.js';
import { moduleState, type SetupFacts } from '../facts.js';
import { kvmfrSizeMb } from './kvmfr-size.js';
import { macWishes } from './mac.js';
import { carry } from './parameters.js';
import { KVMFR_OPTIONS, KVMFR_RULE } from './places.js';
import {
  HEADER,
  type Effect,
  type Refusal,
  type WantedFile,
  type Wish,
  type Wishes,
} from './wish.js';

/** Users of a system have ids below this (Debian policy 9.2.2; systemd's SYSTEM_GID_MAX is 999). */
const FIRST_USER_GID = 1000;

/** Shared memory of Looking Glass: one device for each size, all of them loaded with the module. */
export const kvmfr: Wish = (desired, facts) => {
  const wanted = desired.kvmfr;
  if (wanted === undefined || wanted.enabled === false) return {};
  const { resolutions = [], formula = 'larger', group = 'kvm' } = wanted;
  const sizes = wanted.sizesMb ?? resolutions.map((picture) => kvmfrSizeMb(picture, formula));
  const nodes = sizes.map((_, index) => `/dev/kvmfr${index}`);
  const parts = [size(sizes, facts), rule(group, facts), macWishes(desired, facts, nodes)];
  return {
    arguments: [
      ...parts.flatMap((part) => part.arguments ?? []),
      ...(wanted.splitLockDetectOff === true
        ? [{ item: 'kvmfr.splitLock', key: 'split_lock_detect', value: 'off' }]
        : []),
    ],
    files: [
      ...parts.flatMap((part) => part.files ?? []),
      ...[...facts.restrictedUnits].map((unit) => allowance(unit, nodes)),
      {
        item: 'kvmfr.load',
        path: '/etc/modules-load.d/qmplug.conf',
        content: `${HEADER}\nkvmfr\n`,
      },
    ],
    pairs: parts.flatMap((part) => part.pairs ?? []),
    satisfied: parts.flatMap((part) => part.satisfied ?? []),
    effects: facts.isMachine ? nodes.flatMap((node) => nodeEffect(node, group, facts)) : [],
    notes: parts.flatMap((part) => part.notes ?? []),
    refused: [...parts.flatMap((part) => part.refused ?? []), ...obstacles(facts, nodes)],
  };
};

/** One carrier: the command line where an image manages it, modprobe's configuration elsewhere. */
function size(sizes: readonly number[], facts: SetupFacts): Wishes {
  const item = 'kvmfr.size';
  const parameter = { item, module: 'kvmfr', parameter: 'static_size_mb', value: sizes.join(',') };
  const { backend, configured } = facts.kernelArguments;
  const argument = configured.known
    ? effectiveArgument(configured.value.words, 'kvmfr.static_size_mb')
    : undefined;
  // Whoever has it on the command line has the say there: modprobe's would contradict it or do nothing.
  const byArgument = backend.imageManaged || argument !== undefined;
  const carried = carry(parameter, facts, !byArgument);
  const carrier = carried.line === undefined ? 'the kernel command line' : KVMFR_OPTIONS;
  return {
    ...carried,
    notes: [{ item, text: `${sizes.join(',')} MiB for kvmfr is carried by ${carrier}` }],
    files:
      carried.line === undefined
        ? []
        : [
            {
              item,
              path: KVMFR_OPTIONS,
              content: `${HEADER}\n${carried.line}\n`,
              needsReboot: true,
            },
          ],
  };
}

/**
 * No OWNER: the node belongs to the group and to whoever sits at the machine. A group that is not a system's
 * makes systemd 258 drop the line whole.
 */
function rule(group: string, { groups }: SetupFacts): Wishes {
  const item = 'kvmfr.rule';
  const gid = groups.get(group);
  if (gid === undefined || gid >= FIRST_USER_GID) {
    const reason =
      gid === undefined
        ? `there is no group ${group}`
        : `the group ${group} (${gid}) is not a system group`;
    return { refused: [{ item, state: 'unmet', reason, remedy: 'set kvmfr.group to "kvm"' }] };
  }
  const line = `SUBSYSTEM=="kvmfr", GROUP="${group}", MODE="0660", TAG+="uaccess"`;
  return {
    files: [{ item, path: KVMFR_RULE, content: `${HEADER}\n${line}\n`, refresh: ['udev-kvmfr'] }],
  };
}

/** A service whose devices are listed gets the nodes onto its list. */
function allowance(unit: string, nodes: readonly string[]): WantedFile {
  const lines = nodes.map((node) => `DeviceAllow=${node} rw`);
  return {
    item: `kvmfr.${unit}`,
    path: `/etc/systemd/system/${unit}.d/50-qmplug-kvmfr.conf`,
    content: `${[HEADER, '[Service]', ...lines].join('\n')}\n`,
    refresh: ['systemd'],
  };
}

/** What the rule and the size are for: a node of each device that the group may open. */
function nodeEffect(node: string, group: string, facts: SetupFacts): readonly Effect[] {
  const gid = facts.groups.get(group);
  const stat = facts.kvmfrNodes.get(node);
  if (gid === undefined || (stat !== undefined && stat.kind !== 'character')) return [];
  const effect = {
    item: 'kvmfr.node',
    subject: node,
    from: ['kvmfr.rule', 'kvmfr.size', 'kvmfr.load', 'kvmfr.module'],
  };
  if (stat === undefined) {
    const reason = `${node} is not there yet: the module is loaded at a boot`;
    const remedy = 'reboot, or: modprobe -r kvmfr; modprobe kvmfr';
    return [{ ...effect, holds: false, otherwise: 'pending-reboot', reason, remedy }];
  }
  const mode = stat.mode.toString(8).padStart(4, '0');
  return [
    {
      ...effect,
      holds: stat.gid === gid && (stat.mode & 0o660) === 0o660,
      otherwise: 'unmet',
      reason: `${node} has group ${stat.gid} and mode ${mode}, wanted are ${group} (${gid}) and 0660`,
      remedy: `see which rule has the last word: udevadm test /sys/class/kvmfr/${node.slice('/dev/'.length)}`,
    },
  ];
}

function obstacles(facts: SetupFacts, nodes: readonly string[]): readonly Refusal[] {
  const found: Refusal[] = [];
  for (const node of nodes) {
    const kind = facts.kvmfrNodes.get(node)?.kind;
    if (kind === undefined || kind === 'character') continue;
    const reason = `${node} is a ${kind}: a VM that started before the module made it`;
    const remedy = `stop that VM, then: rm ${node} && modprobe kvmfr`;
    found.push({ item: 'kvmfr.node', state: 'conflicting', reason, remedy });
  }
  if (moduleState(facts, 'kvmfr') === 'absent') {
    const signed = facts.secureBoot.known && facts.secureBoot.value;
    const reason = 'no installed kernel has the module kvmfr';
    const remedy = `build and install it${signed ? ', and sign it: Secure Boot is on' : ''}`;
    found.push({ item: 'kvmfr.module', state: 'unmet', reason, remedy });
  }
  return found;
}
