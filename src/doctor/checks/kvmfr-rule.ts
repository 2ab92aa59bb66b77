import type { HostCheck } from '../check.js';
import { fail, ok, seen, skip, warn, type Answer } from '../finding.js';
import { isWanted, readSizes } from '../read-kvmfr.js';
import { assigned, readUdevLines, RULES, type UdevLine } from '../read-udev.js';
import { FIRST_USER, readIds } from '../read-users.js';

/** It acts on the tag `uaccess`; what comes after it tags in vain (systemd, rules.d/73-seat-late.rules). */
const SEAT_LATE = '73-seat-late.rules';
const OURS = '/etc/udev/rules.d/70-qmplug-kvmfr.rules';
const LINE = 'SUBSYSTEM=="kvmfr", GROUP="kvm", MODE="0660", TAG+="uaccess"';

export const kvmfrRule: HostCheck = {
  id: 'kvmfr.rule',
  about: 'whether the udev rule for kvmfr gives the nodes to VMs and seat, and to nobody else',
  needs: 'host',
  async run(reads) {
    const { effects } = reads;
    const lines = (await readUdevLines(effects)).filter(({ text }) =>
      /(SUBSYSTEM|KERNEL)=="kvmfr/.test(text),
    );
    const read = lines.map(({ path, text }) => seen(path, text));
    const [first] = lines;
    if (first === undefined) {
      return isWanted(await readSizes(reads))
        ? warn(
            "there is none: the nodes are root's alone",
            `put ${LINE} into ${OURS}`,
            seen(RULES, 'none'),
          )
        : skip('nothing asks for kvmfr');
    }
    const users = await readIds(effects, '/etc/passwd');
    const groups = await readIds(effects, '/etc/group');
    for (const line of lines) {
      const answer = judgeOwners(line, users, groups);
      if (answer !== undefined) return answer;
    }
    const files = new Set(lines.map(({ path }) => path));
    if (files.size > 1) {
      const [one = '', other = ''] = [...files];
      return warn(`${[...files].join(' and ')} both have one`, `rm ${one}, or ${other}`, ...read);
    }
    const doubt = doubtOf(first);
    return doubt === undefined
      ? ok('it gives them to VMs and seat', ...read)
      : warn(doubt, `put ${LINE} into ${OURS}, and remove it from ${first.path}`, ...read);
  },
};

function judgeOwners(
  line: UdevLine,
  users: ReadonlyMap<string, number>,
  groups: ReadonlyMap<string, number>,
): Answer | undefined {
  const owner = assigned(line, 'OWNER');
  const group = assigned(line, 'GROUP');
  const idOf = (name: string, ids: ReadonlyMap<string, number>) =>
    /^\d+$/.test(name) ? Number(name) : ids.get(name);
  const read = seen(line.path, line.text);
  const remedy = `put ${LINE} into ${OURS}, and remove it from ${line.path}`;
  if (owner === 'root' || owner === '0') {
    return fail('it gives the nodes to root: the script that wrote it ran by sudo', remedy, read);
  }
  const human = [
    ...(owner !== undefined && (idOf(owner, users) ?? 0) >= FIRST_USER ? [owner] : []),
    ...(group !== undefined && (idOf(group, groups) ?? 0) >= FIRST_USER ? [group] : []),
  ];
  // systemd#39056: releases 258 and 259 ignore the line whole.
  return human[0] === undefined
    ? undefined
    : fail(`${human[0]} is not of the system: systemd ignores the line`, remedy, read);
}

function doubtOf(line: UdevLine): string | undefined {
  if (!/TAG\+="uaccess"/.test(line.text))
    return 'whoever sits at the machine gets nothing: no uaccess';
  if (line.file >= SEAT_LATE)
    return `${line.file} is read after ${SEAT_LATE}: uaccess does nothing`;
  const mode = parseInt(assigned(line, 'MODE') ?? '0600', 8);
  return (mode & 0o007) === 0 ? undefined : 'it lets everyone in';
}
