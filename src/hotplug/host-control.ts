import type { VfChange } from '../host/effects.js';
import type { StepReport } from '../engine/index.js';
import { InputError, RefusedError } from '../errors.js';
import { readDriverWish, type DriverWish } from '../host/driver-wish.js';
import { lookCloser, readHostSnapshot } from '../host/inventory.js';
import { checkRules, parseSelector, selectDevice, type Rule } from '../host/selector/index.js';
import { listVfs } from '../host/sriov.js';
import type { HostDevice, HostSnapshot } from '../host/types.js';
import { interfaceOf, isUnicastMac } from '../host/vf-settings.js';
import { isVfioDriver } from '../host/vfio-drivers.js';
import type { Bdf } from '../pci/pci-address.js';
import { checkOwner } from '../plan/checks.js';
import { expandMembers, type Members } from '../plan/members.js';
import { keptSteps, planBind, planRelease, recordOf, type HostWorld } from '../plan/plan-host.js';
import { planVfs, vfsOf } from '../plan/plan-vfs.js';
import { HOST_SCOPE, type HotplugPlan } from '../plan/steps.js';
import type { Environment } from './environment.js';
import { HostSession } from './host-session.js';
import type { WaitOptions } from './requests.js';
import { resolveFunctions } from './resolve-functions.js';

export interface BindDevicesRequest {
  /** Each an address, for example `0000:3b:00.0`; at least one. */
  readonly devices: readonly string[];
  /** What goes with each; default `device`. */
  readonly members?: Members | undefined;
  /** Reasons that may be passed over, each by its name. */
  readonly allow?: readonly string[] | undefined;
  /** For whom they were set aside with `host reserve`. */
  readonly reservedFor?: string | undefined;
  /** Rules before the default ones, asked of the devices and of all that goes with them. */
  readonly rules?: readonly Rule[] | undefined;
  /** The driver that they are bound to; default `auto`. With `keep` they are only checked. */
  readonly driver?: DriverWish | undefined;
}

export interface ReleaseDevicesRequest {
  /** As for {@link BindDevicesRequest}. */
  readonly devices: readonly string[];
  /** What goes with each; default `device`. */
  readonly members?: Members | undefined;
}

/** A function that is bound to VFIO for whoever comes for it. */
export interface BoundFunction {
  readonly bdf: Bdf;
  readonly group: number;
  readonly driver: string;
  /** Whether an earlier call bound it, or it keeps the driver it has. */
  readonly already: boolean;
}

export interface BindResult {
  readonly bound: readonly BoundFunction[];
  readonly steps: readonly StepReport[];
}

/** `released` by this call; `already` where there was nothing of ours to give back. */
export interface ReleasedFunction {
  readonly bdf: string;
  readonly state: 'released' | 'already';
  /** The driver it has now. */
  readonly driver: string | undefined;
}

export interface ReleaseResult {
  readonly released: readonly ReleasedFunction[];
  readonly steps: readonly StepReport[];
}

export interface SetVfsRequest {
  /** The physical function, as `devices` are named. */
  readonly pf: string;
  /** How many virtual functions there are to be. */
  readonly count: number;
  /** Findings on the VFs that go, which may be passed over. */
  readonly allow?: readonly string[] | undefined;
  /** Rules of a policy, asked of the physical function. */
  readonly rules?: readonly Rule[] | undefined;
  /** What VFs are to be like, by their number from 0; set through the network interface of the PF. */
  readonly settings?: ReadonlyMap<number, VfChange> | undefined;
}

export interface SetVfsResult {
  readonly pf: Bdf;
  /** Whether there were as many before. */
  readonly already: boolean;
  /** In the order of their index. */
  readonly vfs: readonly {
    readonly bdf: Bdf;
    readonly group: number | undefined;
    readonly driver: string | undefined;
  }[];
  readonly steps: readonly StepReport[];
}

/** The host by itself: what is done here stays until it is asked back, or the host reboots. */
export class HostControl {
  readonly #session: HostSession;

  constructor(environment: Environment) {
    this.#session = new HostSession(environment);
  }

  /** The steps that `bind` would run now; undefined where everything is bound so already. */
  async planBind(request: BindDevicesRequest): Promise<HotplugPlan | undefined> {
    checkBind(request);
    return this.#session.check((await this.#planBind(request)).plan);
  }

  /**
   * Binds functions to VFIO, all or none, and leaves them so: for a VM that is about to be started, or to have
   * them ready. They are not reserved; any VM may have them.
   *
   * @throws {RefusedError} nothing was changed.
   * @throws {StepError} a step failed and everything was undone.
   * @throws {RollbackError} {UnknownStateError} there is something left to `recover`.
   */
  async bind(request: BindDevicesRequest, options: WaitOptions = {}): Promise<BindResult> {
    checkBind(request);
    const call = { operation: 'host bind', about: request.devices.join(', ') };
    return this.#session.exclusively(call, options, async () => {
      const { plan, world, targets, wish } = await this.#planBind(request);
      const steps = await this.#session.run(plan);
      const { devices } = await readHostSnapshot(this.#session.environment.effects);
      return {
        steps,
        bound: targets.map((bdf) => ({
          bdf,
          group: devices.get(bdf)?.iommuGroup ?? -1,
          driver: devices.get(bdf)?.driver ?? '',
          already: wish === 'keep' || recordOf(bdf, world) !== undefined,
        })),
      };
    });
  }

  /** The steps that `release` would run now; undefined where there is nothing of ours to give back. */
  async planRelease(request: ReleaseDevicesRequest): Promise<HotplugPlan | undefined> {
    checkNames(request.devices);
    return this.#session.check((await this.#planRelease(request)).plan);
  }

  /**
   * Gives functions that `bind` took back to the drivers they had. What is not ours, or gone, is left alone.
   *
   * @throws {RefusedError} `CONFLICT`, `GROUP_HELD`: a VM has it; `NOT_OURS`: somebody else bound it to VFIO.
   * @throws {UnknownStateError} there is something left to `recover`.
   */
  async release(request: ReleaseDevicesRequest, options: WaitOptions = {}): Promise<ReleaseResult> {
    checkNames(request.devices);
    const call = { operation: 'host release', about: request.devices.join(', ') };
    return this.#session.exclusively(call, options, async () => {
      const { plan, ours, others } = await this.#planRelease(request);
      const steps = await this.#session.run(plan);
      const after = (await readHostSnapshot(this.#session.environment.effects)).devices;
      const report =
        (state: ReleasedFunction['state']) =>
        (bdf: Bdf): ReleasedFunction => ({ bdf, state, driver: after.get(bdf)?.driver });
      return {
        steps,
        released: [...ours.map(report('released')), ...others.map(report('already'))],
      };
    });
  }

  /**
   * Gives a PF so many VFs, which no driver has taken; 0 removes them.
   *
   * @throws {RefusedError} `NO_VFS`, or a VF is somebody's; nothing was changed.
   * @throws {StepError} a step failed, and as many VFs are there as before.
   */
  async setVfs(request: SetVfsRequest, options: WaitOptions = {}): Promise<SetVfsResult> {
    checkVfs(request);
    const call = { operation: 'host vfs', about: request.pf };
    return this.#session.exclusively(call, options, async () => {
      const { pf, plan } = await this.#planVfs(request);
      const steps = await this.#session.run(plan);
      const { devices } = await readHostSnapshot(this.#session.environment.effects);
      const vfs = await listVfs(this.#session.environment.effects, pf);
      return {
        pf,
        already: plan === undefined,
        vfs: vfs.map((bdf) => ({
          bdf,
          group: devices.get(bdf)?.iommuGroup,
          driver: devices.get(bdf)?.driver,
        })),
        steps,
      };
    });
  }

  /** The steps that `setVfs` would run now; undefined where there are as many already. */
  async planVfs(request: SetVfsRequest): Promise<HotplugPlan | undefined> {
    checkVfs(request);
    return this.#session.check((await this.#planVfs(request)).plan);
  }

  async #planVfs(asked: SetVfsRequest) {
    const { pf, count, allow = [], rules, settings: changes = new Map() } = asked;
    const { effects, runtime } = this.#session.environment;
    const first = await readHostSnapshot(effects);
    const bdf = await this.#named(pf);
    await checkRules({ effects, runtime }, [bdf], { rules, allow });
    const vfs = vfsOf(bdf, { host: first });
    const groups = [first.devices.get(bdf), ...vfs].flatMap((each) => each?.iommuGroup ?? []);
    const host = await lookCloser(effects, first, {
      uses: vfs.map(({ bdf }) => bdf),
      holders: [...new Set(groups)],
    });
    const world = await this.#session.world(host);
    const netdev = changes.size === 0 ? undefined : await interfaceOf(effects, bdf);
    const request = { pf: bdf, count, allow: new Set(allow), changes, netdev };
    return { pf: bdf, plan: planVfs(request, world) };
  }

  /** What is named is looked for wherever it is: in use, reserved, or bound already. */
  async #named(device: string): Promise<Bdf> {
    const { effects, runtime } = this.#session.environment;
    return selectDevice({ effects, runtime }, device, { guarded: false });
  }

  async #planBind(asked: BindDevicesRequest) {
    const { devices, members = 'device', allow = [], reservedFor: owner, rules } = asked;
    const wish = readDriverWish(asked.driver);
    const asking = { vmPid: undefined, scope: HOST_SCOPE, owner, rules, allow, wish };
    const { targets, drivers, host } = await resolveFunctions(
      devices,
      members,
      this.#session.environment,
      asking,
    );
    const world = await this.#session.world(host);
    const plan = planBind({ targets, drivers, wish, allow: new Set(allow) }, world);
    return { plan, world, targets, wish };
  }

  async #planRelease({ devices, members = 'device' }: ReleaseDevicesRequest) {
    const { effects } = this.#session.environment;
    const first = await readHostSnapshot(effects);
    const { records } = await this.#session.world(first);
    const expanded: Bdf[] = [];
    for (const device of devices) {
      const gone = goneButOnRecord(device, first, records);
      if (gone !== undefined) expanded.push(gone);
      else expanded.push(...expandMembers(first, await this.#named(device), members));
    }
    const bdfs = unique(expanded);
    const groups = bdfs.flatMap((bdf) => first.devices.get(bdf)?.iommuGroup ?? []);
    const host = await lookCloser(effects, first, { holders: unique(groups) });
    const world = await this.#session.world(host);
    const bindings = bdfs.flatMap((bdf) => recordOf(bdf, world) ?? []);
    const ours = bindings.map(({ step }) => step.bdf);
    const others = bdfs.filter((bdf) => !ours.includes(bdf));
    for (const bdf of others) refuseForeign(host.devices.get(bdf), world);
    return {
      plan: bindings.length === 0 ? undefined : planRelease(bindings, world),
      ours,
      others,
    };
  }
}

/** What can be told of the names alone, before anything is opened or locked. */
function checkNames(devices: readonly string[]): void {
  for (const device of devices) parseSelector(device);
  if (devices.length > 0) return;
  throw new InputError('BAD_ARGUMENT', 'No device is named', {
    remedy: 'name at least one, for example 0000:3b:00.0',
  });
}

function checkBind({ devices, driver }: BindDevicesRequest): void {
  checkNames(devices);
  readDriverWish(driver);
}

function checkVfs({ pf, count, settings = new Map() }: SetVfsRequest): void {
  checkNames([pf]);
  if (Number.isSafeInteger(count) && count >= 0) return checkSettings(count, settings);
  throw new InputError('BAD_ARGUMENT', `There cannot be ${count} virtual functions`, {
    remedy: 'give a whole number, 0 for none',
  });
}

const MOST_VLAN = 4094;

function checkSettings(count: number, settings: ReadonlyMap<number, VfChange>): void {
  for (const [index, { mac, vlan }] of settings) {
    const refuse = (why: string, remedy: string) => {
      throw new InputError('BAD_ARGUMENT', `Virtual function ${index}: ${why}`, { remedy });
    };
    if (!Number.isSafeInteger(index) || index < 0 || index >= count) {
      refuse(`there are to be ${count}`, `name one from 0 to ${count - 1}`);
    }
    if (mac !== undefined && !isUnicastMac(mac)) {
      refuse(
        `${JSON.stringify(mac)} is no address of one interface`,
        'for example 52:54:00:12:34:56',
      );
    }
    if (vlan !== undefined && !(Number.isSafeInteger(vlan) && vlan >= 0 && vlan <= MOST_VLAN)) {
      refuse(`there is no VLAN ${vlan}`, `1 to ${MOST_VLAN}, 0 for none`);
    }
  }
}

/** A function that left the host while it was bound: there is nothing to restore, but a record to close. */
function goneButOnRecord(
  text: string,
  { devices }: HostSnapshot,
  records: HostWorld['records'],
): Bdf | undefined {
  const kept = keptSteps(records, 'BindDriver').map(({ step }) => step.bdf);
  const lost = kept.filter((bdf) => !devices.has(bdf));
  return lost.find((bdf) => bdf === text.toLowerCase());
}

/** On VFIO without a record of ours: what it had before is not ours to know. */
function refuseForeign(device: HostDevice | undefined, { claim, host }: HostWorld): void {
  if (device?.driver === undefined || !isVfioDriver(device.driver)) return;
  const { bdf, driver, iommuGroup } = device;
  // A VM that has it says more than how it is bound.
  if (iommuGroup !== undefined) checkOwner(iommuGroup, [bdf], claim, host);
  throw new RefusedError('NOT_OURS', `${bdf} is on ${driver}, and qmplug did not bind it there`, {
    remedy: `whoever did has to take it back, for example: driverctl unset-override ${bdf}`,
    details: { device: bdf, driver },
  });
}

const unique = <T>(items: readonly T[]): readonly T[] => [...new Set(items)];
