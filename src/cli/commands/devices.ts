import type { Command } from 'commander';
import {
  readHostSnapshot,
  resolveSelector,
  parseSelector,
  type Bdf,
  type Environment,
  type HostSnapshot,
} from '../../index.js';
import { describeDevice, renderDevices, type DeviceLine } from '../device-lines.js';
import type { RunWork } from '../command-context.js';
import { EXIT } from '../exit-status.js';
import { findObstacles, type Obstacle } from '../obstacles.js';
import { toJson } from '../to-json.js';
import { findMissing } from '../vfio-needs.js';
import { addJsonOption } from '../vm-options.js';

const HELP = `
Examples:
  qmplug devices
  qmplug devices 0000:3b:00.0
  qmplug devices --json

Everyone may look; without root, what other users' processes do cannot be read, and is told as such.

JSON: {"devices":[...],"rejected":[{"bdf","reasons":[{"reason","evidence","remedy"}]}],"missing":[...]}
"rejected" tells which of the devices cannot be given to a VM as things are, "missing" what the host lacks for any.`;

export function defineDevices(program: Command, run: RunWork): Command {
  const command = program
    .command('devices')
    .description(
      "Prints the host's PCI devices, their IOMMU groups and who uses them. Changes nothing.",
    )
    .argument('[device]', 'only this one')
    .addHelpText('after', HELP);
  return addJsonOption(command).action((device: string | undefined) =>
    run(
      async ({ environment, output }) => {
        const host = await lookAtHost(environment, device);
        const missing = await findMissing(environment.effects, host);
        const devices = [...host.uses.keys()].flatMap((bdf) => host.devices.get(bdf) ?? []);
        const lines = devices.map((each): DeviceLine => ({
          device: each,
          obstacles: findObstacles(each, host),
        }));
        const document = {
          devices: lines.map((line) => describeDevice(line, host)),
          rejected: lines
            .filter(({ obstacles }) => obstacles.some(isBlocking))
            .map(({ device: { bdf }, obstacles }) => ({
              bdf,
              reasons: obstacles
                .filter(isBlocking)
                .map(({ reason, evidence, remedy }) => ({ reason, evidence, remedy })),
            })),
          missing,
        };
        output.result(toJson(document), () => renderDevices(lines, missing));
        return EXIT.done;
      },
      { changesNothing: true },
    ),
  );
}

const isBlocking = ({ level }: Obstacle) => level === 'block';

/** Uses and holders are looked into for the devices asked about alone: it reads every process. */
async function lookAtHost(
  { effects, runtime }: Environment,
  device: string | undefined,
): Promise<HostSnapshot> {
  const all = await readHostSnapshot(effects);
  const request = device === undefined ? undefined : parseSelector(device);
  const wanted =
    request &&
    (await resolveSelector(
      { effects, runtime },
      { ...request, policy: { kind: 'all' } },
      { guarded: false },
    ));
  const chosen =
    wanted === undefined
      ? [...all.devices.values()]
      : wanted.chosen.flatMap(({ name }) => all.devices.get(name as Bdf) ?? []);
  const groups = new Set(chosen.flatMap(({ iommuGroup }) => iommuGroup ?? []));
  return readHostSnapshot(effects, { uses: chosen.map(({ bdf }) => bdf), holders: [...groups] });
}
