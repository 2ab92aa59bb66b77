import type { HostEffects } from '../../host/effects.js';
import { ifPresent, listOrNone } from '../../host/reading.js';
import type { HostCheck, Subject } from '../check.js';
import { fail, ok, seen, unknownAnswer, warn } from '../finding.js';

const RULES = '/etc/udev/rules.d';
/** Ids below are the system's: systemd's default of SYSTEM_UID_MAX and SYSTEM_GID_MAX is 999. */
const FIRST_USER = 1000;

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
  const names = (await listOrNone(effects, RULES)).filter((name) => name.endsWith('.rules')).sort();
  const owners: Owner[] = [];
  for (const name of names) {
    const path = `${RULES}/${name}`;
    // A link to /dev/null masks a rule, and one to a file that is gone says nothing.
    const text = (await ifPresent(effects.read(path))) ?? '';
    for (const line of text.replace(/\\\n/g, ' ').split('\n')) {
      if (line.trimStart().startsWith('#')) continue;
      for (const [, kind, value] of line.matchAll(/\b(OWNER|GROUP):?="([^"$%]+)"/g)) {
        owners.push({ path, kind: kind === 'OWNER' ? 'OWNER' : 'GROUP', name: value ?? '' });
      }
    }
  }
  return owners;
}

/** Ids by name: field 3 of passwd(5) and of group(5). */
async function readIds(effects: HostEffects, path: string): Promise<ReadonlyMap<string, number>> {
  const text = await effects.read(path);
  return new Map(
    text.split('\n').flatMap((line) => {
      const [name = '', , id = ''] = line.split(':');
      return /^\d+$/.test(id) ? [[name, Number(id)] as const] : [];
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
