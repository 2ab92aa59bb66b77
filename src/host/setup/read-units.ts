import { textOf } from './file-state.js';
import type { SetupHost } from './setup-host.js';

const FOLDERS = [
  '/etc/systemd/system',
  '/run/systemd/system',
  '/usr/lib/systemd/system',
  '/lib/systemd/system',
];
/** Drop-ins that set-up writes itself. */
const OWN = /\/50-qmplug(-\w+)?\.conf$/;

/**
 * Those of the services that may open only the devices they name (systemd.resource-control(5)). An allowance given to
 * any other service would take all other devices from it.
 */
export async function readRestrictedUnits(
  host: SetupHost,
  units: readonly string[],
): Promise<ReadonlySet<string>> {
  const restricted = new Set<string>();
  for (const unit of new Set(units)) {
    const texts = await readUnit(host, unit);
    if (texts.some((text) => /^(DevicePolicy=(closed|strict)|DeviceAllow=.+)$/m.test(text)))
      restricted.add(unit);
  }
  return restricted;
}

async function readUnit(host: SetupHost, unit: string): Promise<readonly string[]> {
  // `vm@1.service` is made of `vm@.service`.
  const names = [...new Set([unit, unit.replace(/@[^.]*\./, '@.')])];
  const paths = names.flatMap((name) => FOLDERS.map((folder) => `${folder}/${name}`));
  const dropIns = await Promise.all(
    paths.map(async (path) =>
      (await host.list(`${path}.d`))
        .map((name) => `${path}.d/${name}`)
        .filter((file) => file.endsWith('.conf') && !OWN.test(file)),
    ),
  );
  return Promise.all(
    [...paths, ...dropIns.flat()].map(async (path) => {
      const state = await host.readFile(path).catch(() => ({ kind: 'absent' as const }));
      return textOf(state) ?? '';
    }),
  );
}
