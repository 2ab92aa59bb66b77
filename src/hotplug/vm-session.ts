import PQueue from 'p-queue';
import { RefusedError } from '../errors.js';
import type { HostSnapshot } from '../host/types.js';
import type { PlanRequest } from '../plan/request.js';
import type { IommufdFacts } from '../plan/route.js';
import type { World } from '../plan/world.js';
import { readCapabilities, type CapabilityCache } from '../vm/capabilities.js';
import type { VmSnapshot } from '../vm/types.js';
import { newPlanId } from '../engine/plan-id.js';
import { departureOf, type Departure } from './departure.js';
import type { Environment } from './environment.js';
import { LastLook, type Look } from './last-look.js';
import {
  readAttachments,
  readLeaving,
  RecoveryReport,
  recoverEnded,
  releaseDeparted,
  resumeOpenPlans,
} from './reconcile.js';
import { patienceOf } from './patience.js';
import type { WaitOptions } from './requests.js';
import type { NamesInVm } from './resolve-target.js';
import type { ResolvedRequest } from './resolve.js';
import { readIommufd } from './read-iommufd.js';
import { PlanRunner, type Patience } from './runner.js';
import type { HotplugResult } from './settle.js';
import type { VmLink } from './vm-link.js';

/** For work that concerns no device of the host. */
export const NO_HOST: Pick<ResolvedRequest, 'host'> = { host: undefined };

/** One open VM: what all its operations share. */
export class VmSession {
  readonly environment: Environment;
  readonly link: VmLink;
  readonly runner: PlanRunner;
  readonly lastLook: LastLook;
  readonly #queue = new PQueue({ concurrency: 1 });
  readonly #capabilities: CapabilityCache = new Map();
  readonly #listeners = new Set<(departure: Departure) => void>();
  /** Ids of attachments that this session saw leave unasked, by their attach plan. */
  readonly #departed = new Set<string>();

  constructor(environment: Environment, link: VmLink) {
    this.environment = environment;
    this.link = link;
    this.runner = new PlanRunner(environment, link);
    this.lastLook = new LastLook(link);
  }

  /** @throws {InputError} `BAD_ARGUMENT` */
  patience(options: WaitOptions): Patience {
    return patienceOf(options, this.environment.clock);
  }

  /** One at a time in this process, and under the VM's lock among processes. */
  async exclusively<T>(patience: Patience, work: () => Promise<T>): Promise<T> {
    return this.#queue.add(() => {
      if (patience.signal?.aborted) {
        const cause: unknown = patience.signal.reason;
        throw new RefusedError('ABORTED', 'Stopped before anything was begun', {
          cause,
          remedy: 'nothing was changed; ask again',
        });
      }
      return this.runner.exclusively(patience, work);
    });
  }

  /**
   * Finishes or takes back what was begun, and gives back what left by itself. Only under the lock.
   *
   * @returns the VM as it was seen on the way, which nothing of this changes.
   */
  async reconcile(report: RecoveryReport): Promise<Look> {
    await resumeOpenPlans(this.runner, report);
    const look = await this.lastLook.confirm();
    const world = await this.world(NO_HOST, look);
    for (const result of await releaseDeparted(this.runner, world, report)) this.tell(result);
    return look;
  }

  async recoverNow(patience: Patience): Promise<RecoveryReport> {
    const report = new RecoveryReport();
    await this.exclusively(patience, () => this.reconcile(report));
    await recoverEnded(this.environment, report);
    return report;
  }

  async snapshot(): Promise<VmSnapshot> {
    return (await this.lastLook.renew()).vm;
  }

  async world(
    { host, request }: Pick<ResolvedRequest, 'host'> & Partial<ResolvedRequest>,
    { vm }: Look,
  ): Promise<World> {
    return {
      iommufd: await this.#readIommufd(host, request),
      noVfToken: await this.#whyNoVfToken(request),
      address: this.link.address,
      vm,
      host,
      attachments: await readAttachments(this.runner),
      leaving: await readLeaving(this.runner),
      reservations: await this.runner.context.reservations.list(),
      quarantine: await this.runner.quarantine.list(),
      planId: newPlanId(),
    };
  }

  async #readIommufd(
    host: HostSnapshot | undefined,
    request: PlanRequest | undefined,
  ): Promise<IommufdFacts | undefined> {
    const isForHost = request?.kind === 'vfio' || request?.kind === 'mdev';
    if (host === undefined || !isForHost || request.route === 'group') return undefined;
    return readIommufd(this.environment.effects, this.link, { host, cache: this.#capabilities });
  }

  async #whyNoVfToken(request: PlanRequest | undefined): Promise<string | undefined> {
    if (request?.kind !== 'vfio' || request.hasVfToken !== true) return undefined;
    const session = await this.link.session();
    const { vfToken, version } = await readCapabilities(session, this.#capabilities);
    const { major, minor, micro } = version;
    return vfToken ? undefined : `QEMU ${major}.${minor}.${micro} takes no token`;
  }

  /** Names of what is in the VM, or is on record as being there. */
  async namesInside(): Promise<NamesInVm> {
    const attachments = await readAttachments(this.runner);
    const functions = attachments.flatMap((each) => each.functions);
    const { devices } = await this.snapshot();
    return {
      ids: new Set([...functions, ...devices].flatMap(({ id }) => id ?? [])),
      hosts: new Set([
        ...functions.flatMap(({ host }) => host ?? []),
        ...devices.flatMap(({ host, sysfsdev }) => host ?? sysfsdev?.split('/').at(-1) ?? []),
      ]),
    };
  }

  /** Tells everyone who listens of what left unasked, as far as it is now. */
  tell(result: HotplugResult): void {
    const departure = departureOf(result);
    if (departure.planId !== undefined) this.#departed.add(departure.planId);
    for (const listener of this.#listeners) {
      try {
        listener(departure);
      } catch (error) {
        this.environment.logger.warn({ error: String(error) }, 'a listener failed');
      }
    }
  }

  /** Whether this session saw what the attach plan had put in leave unasked. */
  sawLeave(planId: string): boolean {
    return this.#departed.has(planId);
  }

  onDeparture(listener: (departure: Departure) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    await this.#queue.onIdle();
    await this.link.close();
  }
}
