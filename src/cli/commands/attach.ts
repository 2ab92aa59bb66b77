import type { Command } from 'commander';
import {
  InputError,
  parseSelector,
  type AttachRequest,
  type AttachResult,
  type AttachWarning,
  type DriverWish,
  type JsonObject,
  type RouteWish,
  type Rule,
  type Vm,
} from '../../index.js';
import { addPolicyOptions, type PolicyOptions } from '../choose-devices.js';
import { plannedAttach } from '../dry-run.js';
import type { RunWork } from '../command-context.js';
import { EXIT } from '../exit-status.js';
import {
  count as wholeNumber,
  deviceId,
  driverWish,
  each,
  holdOwner,
  jsonObjects,
  once,
  oneOf,
  DRIVER_ABOUT,
  reason,
  secretUuid,
  text,
} from '../option-values.js';
import { readRules } from '../policy-rules.js';
import { renderAttach, type AttachDocument } from '../render-attach.js';
import { toJson } from '../to-json.js';
import { attachChoice, isChoice, refuseWithChoice } from './attach-choice.js';
import { addVmOptions, withVm, type VmOptions } from '../vm-options.js';

interface AttachOptions extends VmOptions, PolicyOptions {
  readonly partial?: true;
  readonly port?: string;
  readonly members?: 'device' | 'slot' | 'group';
  readonly wait?: 'placed';
  readonly allow?: readonly string[];
  readonly device?: JsonObject | readonly JsonObject[];
  readonly id?: string;
  readonly zpciUid?: number;
  readonly zpciFid?: number;
  readonly reservedFor?: string;
  readonly driver?: DriverWish;
  readonly vfToken?: string;
  readonly iommufd?: boolean;
  readonly passFds?: true;
  readonly dryRun?: true;
}

const HELP = `
Examples:
  qmplug attach /run/vm.sock 0000:3b:00.0
  qmplug attach /run/vm.sock 'id:10de:2204 numa:0'
  qmplug attach /run/vm.sock 0000:3b:00.0 --members group --dry-run
  qmplug attach /run/vm.sock 'class:gpu numa:0' --policy first:2 --distinct group
  qmplug attach /run/vm.sock 'vf pf-of:0000:5e:00.0' --policy all --partial
  qmplug attach /run/vm.sock 0000:3b:00.0 --port rp1 --wait placed --timeout 30
  qmplug attach /run/vm.sock 0000:3b:00.0 --pass-fds
  qmplug attach /run/vm.sock 0000:3b:00.0 --driver keep
  qmplug attach /run/vm.sock --device '{"driver":"pci-testdev"}' --id practice0
  qmplug attach /run/vm.sock --device '{"driver":"virtio-rng-ccw"}' --id rng0 --port fe.1.0042
  qmplug attach /run/vm.sock --device '[{"driver":"edu"},{"driver":"virtio-rng-pci"}]' --id both

Of a list the first is function 0 and has the id as given, the others are <id>.1 to <id>.7. They come and go
together: whichever of them is detached, all of them are.

What is attached already, as asked, is a success. A BAR that the guest has not placed at the deadline of
--wait placed ends with status 5; the device stays attached.

With a --policy other than one, each slot or IOMMU group that is chosen is an attachment of its own: all of them, or
none. Those that went before one that fails are taken out again, and that ends with status 4; with --partial they
stay, and the status is that of the worst failure, at least 4 where anything was attached.

A host device goes in through iommufd where kernel and QEMU have it, and through its IOMMU group elsewhere.

Its driver is the variant that modules.alias names for it, or vfio-pci. --driver vfio-pci takes the plain one in any
case; with --driver keep it must be on a driver of VFIO already: none is bound, and the detach leaves it there.

JSON: {"attachment":{"group","already","route":{"kind","why"},"functions":[{"id","host","port","addr","guestPath","guestBdf","bars"}]},
       "steps":[{"kind","outcome","ms"}],"warnings":[{"code","message"}]}; warnings only where there are any
      With a --policy other than one: {"attachments":[{"devices","attachment","steps","warnings"}]}, and with --partial
      {"devices","error"} for what failed`;

export function defineAttach(program: Command, run: RunWork): Command {
  const command = program
    .command('attach')
    .description('Gives a running VM a device of the host, or an emulated one.')
    .argument('<vm>', "the VM's QMP monitor")
    .argument('[device]', 'the device of the host: an address, or terms that one device matches')
    .option('--dry-run', 'print the steps and change nothing')
    .option(
      '--port <id>',
      'the port to use (default: the first free one that fits)',
      once('--port', text),
    )
    .option(
      '--members <what>',
      'device, slot or group: what goes along (default: device)',
      once('--members', oneOf('device', 'slot', 'group')),
    )
    .option(
      '--wait <what>',
      'placed: wait until the guest has placed every BAR',
      once('--wait', oneOf('placed')),
    )
    .option(
      '--allow <reason>',
      'pass over a refusal by its name, for example unknown-window; may be repeated',
      each('--allow', reason),
    )
    .option(
      '--device <json>',
      'an emulated device instead, as device_add takes it; a list is the functions of one slot',
      once('--device', jsonObjects),
    )
    .option(
      '--reserved-for <owner>',
      'the name it was set aside for with host reserve',
      once('--reserved-for', holdOwner),
    )
    .option('--driver <driver>', DRIVER_ABOUT, once('--driver', driverWish))
    .option(
      '--vf-token <uuid>',
      'of a virtual function whose physical function is with VFIO: the UUID set there',
      once('--vf-token', secretUuid),
    )
    .option('--iommufd', 'through iommufd, or not at all')
    .option('--no-iommufd', 'through the IOMMU group, whatever else there is')
    .option('--pass-fds', 'through iommufd, with descriptors: QEMU opens nothing itself')
    .option('--id <id>', 'the id of the emulated device', once('--id', deviceId))
    .option(
      '--zpci-uid <n>',
      'on s390x: the PCI domain that the guest shall know the device by',
      once('--zpci-uid', wholeNumber),
    )
    .option(
      '--zpci-fid <n>',
      'on s390x: the slot that the guest shall know the device by',
      once('--zpci-fid', wholeNumber),
    )
    .option('--partial', 'keep what could be attached where a part of it cannot')
    .addHelpText('after', HELP);
  return addVmOptions(addPolicyOptions(command)).action(
    (address: string, device: string | undefined, options: AttachOptions) =>
      run(async (context) => {
        if (isChoice(options, device)) {
          refuseWithChoice(options);
          if (device === undefined) throw usage('No device is named');
          const route = routeOf(options);
          return attachChoice(context, address, device, { ...options, route });
        }
        const { rules } = await readRules(context, options, options.reservedFor);
        const request = requestOf(device, options, rules);
        const { output } = context;
        const { document, warnings, pending } = await withVm(
          address,
          options,
          context,
          (vm, waiting) =>
            options.dryRun ? preview(vm, request) : attach(vm.attach(request, waiting)),
        );
        output.result(toJson(document), () => renderAttach(document));
        for (const { message } of warnings) output.note(message);
        if (pending === undefined) return EXIT.done;
        output.note(`still pending: ${pending}; the device stays attached`);
        return EXIT.pending;
      }),
  );
}

interface Answer {
  readonly document: AttachDocument;
  readonly warnings: readonly AttachWarning[];
  readonly pending: string | undefined;
}

async function attach(attaching: Promise<AttachResult>): Promise<Answer> {
  const { attachment, steps, warnings, pending } = await attaching;
  const told = warnings.length === 0 ? {} : { warnings };
  return { document: { attachment, steps, ...told }, warnings, pending };
}

async function preview(vm: Vm, request: AttachRequest): Promise<Answer> {
  const planned = await vm.planAttach(request);
  if (planned.kind === 'already') return attach(Promise.resolve(planned.result));
  const document = plannedAttach(planned, await vm.snapshot());
  return { document, warnings: [], pending: undefined };
}

function requestOf(
  device: string | undefined,
  options: AttachOptions,
  rules: readonly Rule[],
): AttachRequest {
  const { device: emulate, id, members, reservedFor, driver, port, allow, wait } = options;
  const { zpciUid: uid, zpciFid: fid, vfToken } = options;
  const zpci = uid === undefined && fid === undefined ? undefined : { uid, fid };
  const common = { port, allow, wait, zpci };
  if (emulate === undefined) {
    if (id !== undefined) throw usage('--id is for --device: a host device has an id of its own');
    if (device === undefined) throw usage('No device is named');
    parseSelector(device);
    const route = routeOf(options);
    return { device, members, reservedFor, rules, driver, vfToken, route, ...common };
  }
  if (device !== undefined) throw usage('A host device and --device exclude each other');
  if (id === undefined) throw usage('--device needs an --id');
  if (members !== undefined) throw usage('--members is for host devices');
  if (reservedFor !== undefined) throw usage('--reserved-for is for host devices');
  if (driver !== undefined) throw usage('--driver is for host devices');
  if (vfToken !== undefined) throw usage('--vf-token is for host devices');
  if (options.iommufd !== undefined || options.passFds) {
    throw usage('--iommufd, --no-iommufd and --pass-fds are for host devices');
  }
  return { emulate, id, ...common };
}

function routeOf({ iommufd, passFds }: AttachOptions): RouteWish {
  if (passFds && iommufd === false) {
    throw usage('--pass-fds and --no-iommufd exclude each other: descriptors go with iommufd');
  }
  if (passFds) return 'descriptors';
  if (iommufd === undefined) return 'auto';
  return iommufd ? 'iommufd' : 'group';
}

function usage(message: string): InputError {
  return new InputError('BAD_ARGUMENT', message, { remedy: 'see: qmplug attach --help' });
}
