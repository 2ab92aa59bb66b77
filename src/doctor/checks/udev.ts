import type { HostEffects } from '../../host/effects.js';
import { listOrNone } from '../../host/reading.js';
import type { HostCheck, Subject } from '../check.js';
import { fail, ok, seen, unknownAnswer, warn } from '../finding.js';
import { assigned, readUdevLines, RULES } from '../read-udev.js';
import { FIRST_USER, readIds } from '../read-users.js';

interface Owner {
  readonly path: string;
  readonly kind: 'OWNER' | 'GROUP';
  readonly name: string;
}

const owner: HostCheck = {
  id: 'systemd.udev_owner',
  about: 'whether udev rules give devices to users that systemd does not accept',
  needs: 'host',
  async run({ effects }) {
    const named = await readOwners(effects);
    if (named.length === 0) return ok('no rule of the host names an owner', seen(RULES, 'read'));
    const ids = {
      OWNER: await readIds(effects, '/etc/passwd'),
      GROUP: await readIds(effects, '/etc/group'),
    };
    const idOf = ({ kind, name }: Owner) =>
      /^\d+$/.test(name) ? Number(name) : ids[kind].get(name);
    const human = named.find((each) => (idOf(each) ?? 0) >= FIRST_USER);
    if (human === undefined) {
      const strange = named.find((each) => idOf(each) === undefined);
      return strange === undefined
        ? ok('only users and groups of the system', seen(RULES, `${named.length} read`))
        : unknownAnswer(
            `${strange.kind} ${strange.name} is in no file of the host`,
            'getent passwd',
            seen(strange.path, `${strange.kind}="${strange.name}"`),
          );
    }
    const version = await readSystemdVersion(effects);
    const why = `${human.kind} ${human.name} is not of the system`;
    const remedy = `in ${human.path} use TAG+="uaccess", or a group of the system`;
    const read = [
      seen(human.path, `${human.kind}="${human.name}"`),
      seen('systemd', version ?? 'version not found'),
    ];
    // systemd#39056: these ignore the whole line.
    return version === 258 || version === 259
      ? fail(`${why}: systemd ${version} ignores the line`, remedy, ...read)
      : warn(`${why}: later releases of systemd ignore the line`, remedy, ...read);
  },
};

async function readOwners(effects: HostEffects): Promise<readonly Owner[]> {
  const lines = await readUdevLines(effects, [RULES]);
  return lines.flatMap((line) =>
    (['OWNER', 'GROUP'] as const).flatMap((kind): readonly Owner[] => {
      const name = assigned(line, kind);
      return name === undefined ? [] : [{ path: line.path, kind, name }];
    }),
  );
}

const LIBRARIES = [
  '/usr/lib/systemd',
  '/usr/lib64/systemd',
  '/usr/lib/x86_64-linux-gnu/systemd',
  '/usr/lib/aarch64-linux-gnu/systemd',
];

/** systemd's private library carries its version: `libsystemd-shared-257.9-1.so`. */
async function readSystemdVersion(effects: HostEffects): Promise<number | undefined> {
  for (const folder of LIBRARIES) {
    for (const name of await listOrNone(effects, folder)) {
      const version = /^libsystemd-shared-(\d+)/.exec(name)?.[1];
      if (version !== undefined) return Number(version);
    }
  }
  return undefined;
}

export const udevSubject: Subject = { name: 'udev', checks: [owner] };
