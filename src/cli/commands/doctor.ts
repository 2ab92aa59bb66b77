import type { Command } from 'commander';
import { compileFilter, runDoctor, type Finding, type Profile } from '../../doctor/index.js';
import { InputError, parseSelector, type VmSnapshot } from '../../index.js';
import type { CommandContext, RunWork } from '../command-context.js';
import { doctorReads } from '../doctor-reads.js';
import { EXIT } from '../exit-status.js';
import { each, once, oneOf, text } from '../option-values.js';
import { renderFindings } from '../render-findings.js';
import { toJson } from '../to-json.js';
import { readDesiredFile } from './host/setup-options.js';
import { addVmOptions, withVm, type VmOptions } from '../vm-options.js';

interface DoctorOptions extends VmOptions {
  readonly only?: readonly string[];
  readonly skip?: readonly string[];
  readonly device?: string;
  readonly vm?: string;
  readonly profile?: Profile;
  readonly strict?: true;
  readonly all?: true;
  readonly deep?: true;
  readonly wanted?: string;
}

const HELP = `
Examples:
  qmplug doctor
  qmplug doctor --device 0000:3b:00.0
  qmplug doctor --vm /run/vm.sock --device 0000:3b:00.0 --json
  qmplug doctor --only 'iommu.*' --all
  qmplug doctor --wanted host.json
  qmplug doctor --device 0000:3b:00.0 --deep

Everyone may look; what cannot be read without root is unknown. Status 0: no check fails; 3: one does, or with
--strict one warns. All checks: docs/doctor.md.

JSON: {"findings":[{"id","subject","verdict","why","read":[{"path","value"}],"remedy","needsRoot","device"}]}
"verdict" is ok, warn, fail, skip (does not apply) or unknown (could not be read).`;

export function defineDoctor(program: Command, run: RunWork): Command {
  const command = program
    .command('doctor')
    .description(
      'Checks whether the host can give away devices, a device can go, and a VM can take it. Changes nothing.',
    )
    .option('--device <selector>', 'check this device too', once('--device', text))
    .option('--vm <vm>', 'check this VM too, by its QMP monitor', once('--vm', text))
    .option(
      '--only <glob>',
      'run only these checks, for example iommu.*; may be repeated',
      each('--only', text),
    )
    .option('--skip <glob>', 'leave these checks out; may be repeated', each('--skip', text))
    .option(
      '--profile <profile>',
      'hotplug, or static for a device given at the start of the VM (default: hotplug)',
      once('--profile', oneOf('hotplug', 'static')),
    )
    .option(
      '--wanted <file>',
      'hold the host to this desired state too, as host plan takes it; - for the standard input',
      once('--wanted', text),
    )
    .option('--deep', 'read also what wakes a sleeping device: its configuration space, its link')
    .option('--strict', 'end with status 3 for a warning too')
    .option('--all', 'print what is ok as well')
    .addHelpText('after', HELP);
  return addVmOptions(command).action((options: DoctorOptions) =>
    run(
      async (context) => {
        const findings = await examine(options, context);
        context.output.result(toJson({ findings }), () =>
          renderFindings(findings, options.all ?? false),
        );
        return findings.some((finding) => isFailure(finding, options.strict ?? false))
          ? EXIT.refused
          : EXIT.done;
      },
      { changesNothing: true },
    ),
  );
}

function isFailure({ verdict }: Finding, strict: boolean): boolean {
  return verdict === 'fail' || (strict && verdict === 'warn');
}

async function examine(
  options: DoctorOptions,
  context: CommandContext,
): Promise<readonly Finding[]> {
  const { only, skip, device, vm, profile, qemuPid, deep } = options;
  compileFilter({ only, skip });
  if (device !== undefined) parseSelector(device);
  if (vm === undefined && (qemuPid !== undefined || options.timeout !== undefined)) {
    const flag = qemuPid === undefined ? '--timeout' : '--qemu-pid';
    throw new InputError('BAD_ARGUMENT', `${flag} is about a VM, and there is no --vm`, {
      remedy: 'add --vm VM, or leave it out',
    });
  }
  const desired = options.wanted === undefined ? undefined : readDesiredFile(options.wanted);
  const what = { only, skip, device, profile, deep, desired };
  const checkWith = (snapshot?: VmSnapshot) =>
    runDoctor({ ...doctorReads(context), ...what, vm: snapshot });
  if (vm === undefined) return checkWith();
  return withVm(vm, options, context, async (opened) => checkWith(await opened.snapshot()));
}
