import type { Command } from 'commander';
import {
  HostControl,
  InputError,
  type SetVfsRequest,
  type SetVfsResult,
  type VfChange,
} from '../../../index.js';
import type { RunWork } from '../../command-context.js';
import { EXIT } from '../../exit-status.js';
import { count, each, once, reason, seconds } from '../../option-values.js';
import { addTakingOptions, readRules, type TakingOptions } from '../../policy-rules.js';
import { renderSteps, type StepLine } from '../../render-attach.js';
import { toJson } from '../../to-json.js';
import { vfMac, vfSpoofCheck, vfTrust, vfVlan, type VfSetting } from '../../vf-options.js';
import { addJsonOption } from '../../vm-options.js';

interface VfsOptions extends TakingOptions {
  readonly allow?: readonly string[];
  readonly dryRun?: true;
  readonly timeout?: number;
  readonly mac?: readonly VfSetting[];
  readonly vlan?: readonly VfSetting[];
  readonly trust?: readonly VfSetting[];
  readonly spoofchk?: readonly VfSetting[];
}

type VfsDocument = Omit<SetVfsResult, 'steps'> & { readonly steps: readonly StepLine[] };

const HELP = `
Examples:
  qmplug host vfs 0000:5e:00.0 4
  qmplug host vfs 0000:5e:00.0 2 --mac 0=52:54:00:12:34:56 --vlan 0=100 --trust 1=on --spoofchk 1=off
  qmplug host vfs 0000:5e:00.0 0 --dry-run

No driver takes the new virtual functions: they are for VMs. From one number to another it goes by way of none, so
every virtual function that is there has to be free.

JSON: {"pf","already","vfs":[{"bdf","group","driver"}],"steps":[{"kind","outcome","ms"}]}`;

export function defineHostVfs(host: Command, run: RunWork): Command {
  const command = host
    .command('vfs')
    .description('Gives a physical function so many virtual functions (SR-IOV), or none.')
    .argument('<pf>', 'the physical function')
    .argument('<count>', 'how many there are to be', (text) => count(text, 'count'))
    .option('--dry-run', 'print the steps and change nothing')
    .option(
      '--allow <reason>',
      'pass over a finding on a virtual function that goes; may be repeated',
      each('--allow', reason),
    )
    .option(
      '--mac <vf=address>',
      'the address of a virtual function, by its number from 0; may be repeated',
      each('--mac', vfMac),
    )
    .option('--vlan <vf=id>', 'its VLAN, 0 for none; may be repeated', each('--vlan', vfVlan))
    .option(
      '--trust <vf=switch>',
      'on or off: whether it may do what its driver asks of the physical function; may be repeated',
      each('--trust', vfTrust),
    )
    .option(
      '--spoofchk <vf=switch>',
      'on or off: whether it may send from no other address than its own; may be repeated',
      each('--spoofchk', vfSpoofCheck),
    )
    .option('--timeout <s>', 'seconds to wait for others (default: 15)', once('--timeout', seconds))
    .addHelpText('after', HELP);
  return addJsonOption(addTakingOptions(command)).action(
    (pf: string, vfCount: number, options: VfsOptions) =>
      run(async (context) => {
        const { environment, output, signal } = context;
        const { rules } = await readRules(context, options, options.reservedFor);
        const { allow, dryRun, timeout: timeoutMs } = options;
        const control = new HostControl(environment);
        const request = { pf, count: vfCount, allow, rules, settings: settingsOf(options) };
        const document = dryRun
          ? await preview(control, request)
          : await control.setVfs(request, { timeoutMs, signal });
        output.result(toJson(document), () => renderVfs(document));
        return EXIT.done;
      }),
  );
}

function settingsOf({ mac, vlan, trust, spoofchk }: VfsOptions): ReadonlyMap<number, VfChange> {
  const settings = new Map<number, VfChange>();
  for (const { index, change } of [mac, vlan, trust, spoofchk].flatMap((given) => given ?? [])) {
    const earlier = settings.get(index) ?? {};
    const [key] = Object.keys(change);
    if (key !== undefined && key in earlier) {
      throw new InputError('BAD_ARGUMENT', `Virtual function ${index} has two values of ${key}`, {
        remedy: 'give one',
      });
    }
    settings.set(index, { ...earlier, ...change });
  }
  return settings;
}

async function preview(control: HostControl, request: SetVfsRequest): Promise<VfsDocument> {
  const plan = await control.planVfs(request);
  const [pf] = plan?.subject.kind === 'host' ? plan.subject.devices : [request.pf];
  return {
    // The plan names the function by its canonical address.
    pf: (pf ?? request.pf) as VfsDocument['pf'],
    already: plan === undefined,
    vfs: [],
    steps: (plan?.steps ?? []).map(({ kind }) => ({ kind, outcome: 'planned', ms: 0 })),
  };
}

function renderVfs({ pf, already, vfs, steps }: VfsDocument): string {
  const planned = steps.some(({ outcome }) => outcome === 'planned');
  const head = planned
    ? `would change the virtual functions of ${pf}`
    : `${pf}: ${vfs.length} virtual functions${already ? ' already' : ''}`;
  const lines = vfs.map(({ bdf, group, driver }) => {
    const where = group === undefined ? 'no IOMMU group' : `IOMMU group ${group}`;
    return `  ${bdf} (${where}, ${driver ?? 'no driver'})`;
  });
  return [head, ...lines, ...renderSteps(steps)].join('\n');
}
