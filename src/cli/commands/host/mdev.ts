import type { Command } from 'commander';
import {
  escapeControl,
  InputError,
  MdevControl,
  type MdevIdentity,
  type MdevListing,
  type MdevResult,
} from '../../../index.js';
import type { RunWork } from '../../command-context.js';
import { EXIT } from '../../exit-status.js';
import { once, text } from '../../option-values.js';
import { addTakingOptions, readRules, type TakingOptions } from '../../policy-rules.js';
import { renderSteps } from '../../render-attach.js';
import { toJson } from '../../to-json.js';
import { addJsonOption } from '../../vm-options.js';

interface CreateOptions extends TakingOptions {
  readonly uuid?: string;
  readonly vm?: string;
  readonly name?: string;
}

const HELP = `
Examples:
  qmplug host mdev list
  qmplug host mdev create 0000:00:02.0 i915-GVTg_V5_4 --vm web1 --name gpu0
  qmplug host mdev create mtty mtty-2 --uuid 83b8f4f2-509f-382f-3c1e-e6bfe0fa1001
  qmplug host mdev create 0000:41:00.4 557
  qmplug host mdev remove 83b8f4f2-509f-382f-3c1e-e6bfe0fa1001

The UUID of --vm and --name is the same every time. Where NVIDIA's driver makes vGPUs without mdev, the parent is
the virtual function itself, the type a number or a name, and there is no UUID. Only what was made by create is
removed, and only while nobody has it open. attach takes the UUID, or the virtual function, as its device.

JSON: {"types":[{"framework","parent","type","name","available"}],"devices":[{"framework","device","parent","type","group"}],
"definitions":[{"uuid","parent","type","start","active"}]}, these of mdevctl; or {"mdev":{"framework","device","already"},"steps":[{"kind","outcome","ms"}]}`;

export function defineHostMdev(host: Command, run: RunWork): Command {
  const mdev = addJsonOption(
    host
      .command('mdev')
      .description('Mediated devices and vGPUs: lists, makes and removes them.')
      .addHelpText('after', HELP),
  );
  addJsonOption(
    mdev.command('list').description('Prints the types that parents offer, and what there is.'),
  ).action(() =>
    run(
      async ({ environment, output }) => {
        const listing = await new MdevControl(environment).list();
        output.result(toJson(listing), () => renderListing(listing));
        return EXIT.done;
      },
      { changesNothing: true },
    ),
  );
  addJsonOption(
    addTakingOptions(
      mdev
        .command('create')
        .description('Makes a mediated device, or makes a virtual function a vGPU.')
        .argument('<parent>', 'its parent, or the virtual function')
        .argument('<type>', 'as list names it')
        .option('--uuid <uuid>', 'its UUID', once('--uuid', text))
        .option(
          '--vm <name>',
          'the VM it is for: with --name, instead of a UUID',
          once('--vm', text),
        )
        .option('--name <name>', 'its name in that VM', once('--name', text)),
    ),
  ).action((parent: string, type: string, options: CreateOptions) =>
    run(async (context) => {
      const { environment, output, signal } = context;
      const { rules } = await readRules(context, options, options.reservedFor);
      const request = { parent, type, identity: identityOf(options), rules };
      const result = await new MdevControl(environment).create(request, { signal });
      const { steps, ...made } = result;
      output.result(toJson({ mdev: made, steps }), () =>
        renderMade(result, made.already ? 'already there' : 'made'),
      );
      return EXIT.done;
    }),
  );
  addJsonOption(
    mdev
      .command('remove')
      .description('Removes what create made.')
      .argument('<device>', 'its UUID, or the virtual function'),
  ).action((device: string) =>
    run(async ({ environment, output, signal }) => {
      const result = await new MdevControl(environment).remove(device, { signal });
      const { steps, ...removed } = result;
      output.result(toJson({ mdev: removed, steps }), () =>
        renderMade(result, removed.already ? 'not there' : 'removed'),
      );
      return EXIT.done;
    }),
  );
  return mdev;
}

function identityOf({ uuid, vm, name }: CreateOptions): MdevIdentity | undefined {
  if (uuid !== undefined && vm === undefined && name === undefined) return { uuid };
  if (uuid === undefined && vm !== undefined && name !== undefined) return { vm, name };
  if (uuid === undefined && vm === undefined && name === undefined) return undefined;
  throw new InputError('BAD_ARGUMENT', 'A UUID comes from --uuid alone, or from --vm and --name', {
    remedy: 'give --uuid, or both --vm and --name',
  });
}

function renderListing({ types, devices, definitions }: MdevListing): string {
  const lines = [
    ...types.map(({ parent, type, name, available }) => {
      const left = available === undefined ? '' : `, ${available} left`;
      return `${parent} offers ${type}${name === undefined ? '' : ` (${name})`}${left}`;
    }),
    ...devices.map(({ device, parent, type, group }) => {
      const where = group === undefined ? 'no IOMMU group' : `IOMMU group ${group}`;
      return `${device} is a ${type} of ${parent} (${where})`;
    }),
    ...definitions.map(({ uuid, parent, type, start, active }) => {
      const what = `a ${type ?? 'device of unknown type'} of ${parent}, start ${start ?? 'unknown'}`;
      return `${uuid} is defined in mdevctl: ${what}${active ? '' : ', not there'}`;
    }),
  ];
  if (lines.length === 0) return 'no parent offers mediated devices';
  return lines.map(escapeControl).join('\n');
}

function renderMade({ device, steps }: MdevResult, what: string): string {
  return [`${escapeControl(device)}: ${what}`, ...renderSteps(steps)].join('\n');
}
