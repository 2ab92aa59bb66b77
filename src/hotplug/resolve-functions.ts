import { chooseDriver, type DriverWish } from '../host/driver-wish.js';
import { lookCloser, readHostSnapshot } from '../host/inventory.js';
import { rememberReads } from '../host/inventory/index.js';
import { checkRules, selectDevice, type Rule } from '../host/selector/index.js';
import type { HostSnapshot } from '../host/types.js';
import { compareBdf, type Bdf } from '../pci/pci-address.js';
import { expandMembers, type Members } from '../plan/members.js';
import type { Environment } from './environment.js';

/** What a selector is resolved with. */
export type SelectionEnvironment = Pick<
  Environment,
  'effects' | 'runtime' | 'answers' | 'logger' | 'clock'
>;

/** Functions that are to go to VFIO, and the host as it was seen. */
export interface ResolvedFunctions {
  /** In numeric order. */
  readonly targets: readonly Bdf[];
  readonly drivers: ReadonlyMap<Bdf, string>;
  readonly host: HostSnapshot;
}

/** Who asks for functions. */
export interface Asking {
  /** QEMU of the VM they are for: what it holds itself is no foreign use. */
  readonly vmPid: number | undefined;
  /** Whose reservations are no conflict. */
  readonly scope: string;
  /** A name that the devices may be set aside for. */
  readonly owner?: string | undefined;
  /** Rules before the default ones, asked of the devices and of all that goes with them. */
  readonly rules?: readonly Rule[] | undefined;
  readonly allow: readonly string[];
  /** The choice of the drivers. */
  readonly wish: DriverWish;
}

/**
 * Selects devices, expands each to the members asked for, looks how they are used, and chooses the VFIO driver
 * of each.
 *
 * @throws {InputError} {RefusedError} `NO_MATCH`, `AMBIGUOUS`, `NO_IOMMU`.
 */
export async function resolveFunctions(
  devices: readonly string[],
  members: Members,
  environment: SelectionEnvironment,
  asking: Asking,
): Promise<ResolvedFunctions> {
  const { vmPid, scope, owner, rules, allow } = asking;
  const { runtime, answers, logger, clock } = environment;
  const effects = rememberReads(environment.effects);
  const chosen: Bdf[] = [];
  for (const device of devices) {
    chosen.push(
      await selectDevice({ effects, runtime, answers, vmPid }, device, {
        scope,
        owner,
        rules,
        allow,
        logger,
        clock,
      }),
    );
  }
  return lookAtFunctions(chosen, members, { effects, runtime }, asking);
}

/** What goes along with functions, how all of them are used, and the VFIO driver of each. */
export async function lookAtFunctions(
  chosen: readonly Bdf[],
  members: Members,
  { effects, runtime }: Pick<Environment, 'effects' | 'runtime'>,
  { vmPid, rules, allow, wish }: Asking,
): Promise<ResolvedFunctions> {
  const first = await readHostSnapshot(effects);
  const expanded = chosen.flatMap((bdf) => expandMembers(first, bdf, members));
  const targets = [...new Set(expanded)].sort(compareBdf);
  await checkRules({ effects, runtime }, targets, { rules, allow });
  const groups = targets.flatMap((target) => first.devices.get(target)?.iommuGroup ?? []);
  const host = await lookCloser(effects, first, {
    uses: targets,
    holders: [...new Set(groups)],
    vmPid,
  });
  const drivers = new Map<Bdf, string>();
  for (const target of targets) {
    drivers.set(target, await chooseDriver(effects, target, host.devices.get(target), wish));
  }
  return { targets, drivers, host };
}
