import { CHANNEL_BUS, ZPCI_BUS, type NamedDevice } from './profiles/index.js';
import type { QomReader } from './qom.js';
import type { DeviceReading } from './read-devices.js';
import type { PortReading } from './read-ports.js';
import type { ChannelFacts, ZpciFunction } from './types.js';

/**
 * The channel addresses in use, and the zpci partners of the PCI devices with those that QEMU made by
 * itself. One that does not tell is left out: QEMU refuses a number that is taken, and nothing changes.
 */
export async function readChannels(
  reader: QomReader,
  devices: readonly NamedDevice[],
  read: { readonly ports: readonly PortReading[]; readonly others: readonly DeviceReading[] },
): Promise<ChannelFacts> {
  const onChannel = read.ports.find(({ bus }) => bus.path === CHANNEL_BUS)?.occupants ?? [];
  const devnos = [];
  for (const { path, place } of onChannel) {
    const device = read.others.find((other) => other.device.path === path);
    const devno = place?.kind === 'devno' ? place.devno : device?.devno;
    // In another channel subsystem image it takes no number that could be wanted.
    if (devno !== undefined) devnos.push(devno);
  }
  return { devnos, zpci: await readZpci(reader, devices) };
}

async function readZpci(
  reader: QomReader,
  devices: readonly NamedDevice[],
): Promise<readonly ZpciFunction[]> {
  const listing = await reader.list(ZPCI_BUS);
  if (listing.kind !== 'value') return [];
  const links = [...listing.value.keys()].filter((name) => /^child\[\d+\]$/.test(name));
  const found = await Promise.all(links.map((link) => reader.text(ZPCI_BUS, link)));
  const paths = found.flatMap((path) => (path.kind === 'value' && path.value ? [path.value] : []));
  const read = await Promise.all(
    paths.map(async (path): Promise<ZpciFunction | undefined> => {
      const [uid, fid, target] = await Promise.all([
        reader.unsigned(path, 'uid', 16),
        reader.unsigned(path, 'fid', 32),
        reader.text(path, 'target'),
      ]);
      if (uid.kind !== 'value' || fid.kind !== 'value' || target.kind !== 'value') return undefined;
      return {
        id: devices.find((device) => device.path === path)?.id,
        path,
        uid: Number(uid.value),
        fid: Number(fid.value),
        target: target.value,
      };
    }),
  );
  return read.filter((each) => each !== undefined).sort((a, b) => a.uid - b.uid);
}
