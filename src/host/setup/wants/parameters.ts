import { formatArgument } from '../command-line.js';
import { moduleState, type SetupFacts } from '../facts.js';
import { modprobeOption } from '../modprobe.js';
import { KVMFR_OPTIONS, MODULE_OPTIONS } from './places.js';
import { HEADER, type Effect, type Wish, type Wishes } from './wish.js';

/** A module's parameter that shall have a value. */
export interface ParameterWish {
  readonly item: string;
  readonly module: string;
  readonly parameter: string;
  readonly value: string;
}

const bit = (value: boolean) => (value ? '1' : '0');

/** The parameters that the desired state names, each by itself: none is a condition for another. */
function wantedParameters(
  desired: Parameters<Wish>[0],
  facts: SetupFacts,
): readonly ParameterWish[] {
  const { kvm, vfio } = desired;
  const wanted = (item: string, module: string, parameter: string, value: boolean | undefined) =>
    value === undefined ? [] : [{ item, module, parameter, value: bit(value) }];
  return [
    ...wanted('kvm.ignoreMsrs', 'kvm', 'ignore_msrs', kvm?.ignoreMsrs),
    ...wanted('kvm.reportIgnoredMsrs', 'kvm', 'report_ignored_msrs', kvm?.reportIgnoredMsrs),
    ...nestedModules(facts).flatMap((module) =>
      wanted('kvm.nested', module, 'nested', kvm?.nested),
    ),
    ...wanted('vfio.disableVga', 'vfio_pci', 'disable_vga', vfio?.disableVga),
    ...wanted('vfio.disableIdleD3', 'vfio_pci', 'disable_idle_d3', vfio?.disableIdleD3),
  ];
}

/** The vendor's module is the one whose processor runs; an image takes both. */
function nestedModules(facts: SetupFacts): readonly string[] {
  if (facts.architecture !== 'x86_64') return ['kvm'];
  if (!facts.isMachine || facts.cpuVendor === undefined) return ['kvm_intel', 'kvm_amd'];
  return [facts.cpuVendor === 'AuthenticAMD' ? 'kvm_amd' : 'kvm_intel'];
}

export const parameters: Wish = (desired, facts) => {
  const wanted = wantedParameters(desired, facts);
  const wishes = wanted.map((wish) => carry(wish, facts));
  const lines = wishes.flatMap(({ line }) => (line === undefined ? [] : [line]));
  const files =
    lines.length === 0
      ? []
      : [
          {
            item: 'modprobe',
            path: MODULE_OPTIONS,
            content: `${[HEADER, ...lines].join('\n')}\n`,
            needsReboot: true,
          },
        ];
  return {
    arguments: wishes.flatMap((wish) => wish.arguments ?? []),
    refused: wishes.flatMap((wish) => wish.refused ?? []),
    effects: wanted.flatMap((wish, index) =>
      wishes[index]?.line === undefined ? [] : loadedEffect(wish, facts),
    ),
    files,
  };
};

/** A module that is loaded already keeps what it was loaded with. */
function loadedEffect(
  { item, module, parameter, value }: ParameterWish,
  { runningParameters }: SetupFacts,
): readonly Effect[] {
  const path = `${module}/parameters/${parameter}`;
  const now = runningParameters.get(path);
  if (now === undefined) return [];
  return [
    {
      item,
      subject: `/sys/module/${path}`,
      from: ['modprobe'],
      // Booleans are written as 0 and 1, and read as N and Y.
      holds: now === value || now === (value === '1' ? 'Y' : 'N'),
      otherwise: 'pending-reboot',
      reason: `${module} runs with ${parameter}=${now}`,
      remedy: `reboot, or load ${module} again while nothing uses it`,
    },
  ];
}

/**
 * One carrier for each parameter: the kernel's command line, which also reaches what is built in. Without a
 * mechanism for that, modprobe's configuration carries what is a module.
 */
export function carry(
  { item, module, parameter, value }: ParameterWish,
  facts: SetupFacts,
  preferModprobe = false,
): Wishes & { readonly line?: string } {
  const state = moduleState(facts, module);
  const { backend } = facts.kernelArguments;
  const canArgument = backend.kind !== 'print' || backend.isDeclared;
  const option = modprobeOption(
    facts.modprobe.filter(({ path }) => path !== MODULE_OPTIONS && path !== KVMFR_OPTIONS),
    module,
    parameter,
  );
  if (option !== undefined && option.value !== value && state !== 'builtin') {
    const reason = `${option.path} has options ${module} ${parameter}=${option.value}, wanted is ${value}`;
    const remedy = `remove ${parameter} from ${option.path}`;
    return { refused: [{ item, state: 'conflicting', reason, remedy }] };
  }
  const line = `options ${module} ${parameter}=${value}`;
  if (state === 'builtin' || (canArgument && !preferModprobe)) {
    return { arguments: [{ item, key: `${module}.${parameter}`, value }] };
  }
  if (state === 'module' || preferModprobe) return { line };
  const reason = `the kernel has no module ${module}, and nothing here configures ${formatArgument(`${module}.${parameter}`, value)}`;
  return {
    arguments: [{ item, key: `${module}.${parameter}`, value }],
    refused: [{ item, state: 'unmet', reason, remedy: `install the module ${module}` }],
  };
}
