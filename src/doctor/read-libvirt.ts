import type { HostEffects } from '../host/effects.js';
import { ifPresent, listOrNone } from '../host/reading.js';

/** Domains as they run, and as they are defined; both are root's alone. */
const RUNNING = '/run/libvirt/qemu';
const DEFINED = '/etc/libvirt/qemu';

/** A PCI device of the host in a domain of libvirt. */
export interface LibvirtDevice {
  readonly domain: string;
  /** The file that says so. */
  readonly path: string;
  readonly isRunning: boolean;
  /** The domain's QEMU, where it runs. */
  readonly pid: number | undefined;
  /** Whether libvirt binds and unbinds it itself. */
  readonly isManaged: boolean;
}

/** Every domain that has the function, running ones first. @throws {HostIoError} */
export async function findLibvirtDevices(
  effects: HostEffects,
  bdf: string,
): Promise<readonly LibvirtDevice[]> {
  const found: LibvirtDevice[] = [];
  for (const [folder, isRunning] of [
    [RUNNING, true],
    [DEFINED, false],
  ] as const) {
    for (const name of [...(await listOrNone(effects, folder))].sort()) {
      if (!name.endsWith('.xml')) continue;
      const path = `${folder}/${name}`;
      const text = await ifPresent(effects.read(path));
      const managed = text === undefined ? undefined : managedOf(text, bdf);
      if (text === undefined || managed === undefined) continue;
      const pid = /<domstatus[^>]*\spid=['"](\d+)['"]/.exec(text)?.[1];
      found.push({
        domain: name.slice(0, -'.xml'.length),
        path,
        isRunning,
        pid: isRunning && pid !== undefined ? Number(pid) : undefined,
        isManaged: managed,
      });
    }
  }
  return found;
}

/** Whether libvirt manages the function; undefined where the domain has it not (libvirt, formatdomain, hostdev). */
function managedOf(xml: string, bdf: string): boolean | undefined {
  for (const [, attributes = '', body = ''] of xml.matchAll(
    /<hostdev\b([^>]*)>(.*?)<\/hostdev>/gs,
  )) {
    const source = /<source\b[^>]*>(.*?)<\/source>/s.exec(body)?.[1] ?? '';
    const address = /<address\b([^>]*)\/>/.exec(source)?.[1] ?? '';
    if (addressOf(address) === bdf) return /managed=['"]yes['"]/.test(attributes);
  }
  return undefined;
}

/** `domain='0x0000' bus='0x3b' slot='0x00' function='0x0'` as a canonical address. */
function addressOf(attributes: string): string | undefined {
  const [domain, bus, slot, fn] = (['domain', 'bus', 'slot', 'function'] as const).map((name) =>
    Number(new RegExp(`\\b${name}=['"](0x[0-9a-f]+|\\d+)['"]`, 'i').exec(attributes)?.[1] ?? NaN),
  );
  if (
    bus === undefined ||
    slot === undefined ||
    fn === undefined ||
    Number.isNaN(bus + slot + fn)
  ) {
    return undefined;
  }
  const hex = (value: number, width: number) => value.toString(16).padStart(width, '0');
  return `${hex(domain === undefined || Number.isNaN(domain) ? 0 : domain, 4)}:${hex(bus, 2)}:${hex(slot, 2)}.${hex(fn, 1)}`;
}
