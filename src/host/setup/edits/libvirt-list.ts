import { InputError } from '../../../errors.js';

/** Adds an entry to a list of libvirt's configuration, such as `cgroup_device_acl` in qemu.conf. */
export interface LibvirtListEdit {
  readonly kind: 'libvirt-list';
  readonly setting: string;
  readonly entry: string;
}

/**
 * libvirt's own list where the file sets none: a list in the file replaces it whole.
 * Source: libvirt src/qemu/qemu_cgroup.c, defaultDeviceACL (9.0).
 */
const DEFAULTS: Readonly<Record<string, readonly string[]>> = {
  cgroup_device_acl: [
    '/dev/null',
    '/dev/full',
    '/dev/zero',
    '/dev/random',
    '/dev/urandom',
    '/dev/ptmx',
    '/dev/kvm',
    '/dev/userfaultfd',
  ],
};

interface Found {
  readonly start: number;
  readonly end: number;
  readonly entries: readonly string[];
}

function find(text: string, setting: string): Found | undefined {
  const match = new RegExp(`^[ \\t]*${setting}[ \\t]*=[ \\t]*\\[`, 'm').exec(text);
  if (match === null) return undefined;
  const start = match.index + match[0].length;
  const entries: string[] = [];
  // Comments may stand between the entries, and brackets in them mean nothing.
  const token = /\s+|,|#[^\n]*|"([^"\n]*)"|'([^'\n]*)'|(\])/y;
  token.lastIndex = start;
  for (let at = token.exec(text); at !== null; at = token.exec(text)) {
    if (at[3] !== undefined) return { start, end: at.index, entries };
    const entry = at[1] ?? at[2];
    if (entry !== undefined) entries.push(entry);
  }
  throw new InputError('BAD_ARGUMENT', `${setting} is not a list that can be read`, {
    remedy: `mend ${setting} = [ ... ] in the file`,
  });
}

/**
 * The entries of a list: libvirt's own where the text sets none.
 *
 * @throws {InputError} `BAD_ARGUMENT` for a setting that is no list.
 */
export function libvirtListOf(text: string, setting: string): readonly string[] {
  return find(text, setting)?.entries ?? DEFAULTS[setting] ?? [];
}

export function applyLibvirtList(text: string, { setting, entry }: LibvirtListEdit): string {
  const found = find(text, setting);
  if (found?.entries.includes(entry)) return text;
  if (found === undefined) {
    const all = [...(DEFAULTS[setting] ?? []), entry].map((each) => `    "${each}"`);
    const glue = text === '' || text.endsWith('\n') ? '' : '\n';
    return `${text}${glue}${setting} = [\n${all.join(',\n')}\n]\n`;
  }
  const inner = text.slice(found.start, found.end);
  const addition = found.entries.length === 0 ? `"${entry}"` : `"${entry}", `;
  // In front: what ends the list may be a comment or a comma.
  return `${text.slice(0, found.start)} ${addition}${inner.replace(/^[ \t]+/, '')}${text.slice(found.end)}`;
}

/** Takes the entry out again. A list that we made stays, with libvirt's own entries in it. */
export function revertLibvirtList(text: string, { setting, entry }: LibvirtListEdit): string {
  const found = find(text, setting);
  if (!found?.entries.includes(entry)) return text;
  const inner = text.slice(found.start, found.end);
  const quoted = entry.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const word = new RegExp(`["']${quoted}["'][ \\t]*,?[ \\t]*|,\\s*["']${quoted}["'](?=\\s*$)`);
  return text.slice(0, found.start) + inner.replace(word, '') + text.slice(found.end);
}
