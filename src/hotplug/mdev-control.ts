import type { StepReport } from '../engine/index.js';
import { InputError, RefusedError } from '../errors.js';
import {
  checkRules,
  isAddress,
  parseSelector,
  selectDevice,
  type Rule,
} from '../host/selector/index.js';
import { lookCloser, readHostSnapshot } from '../host/inventory.js';
import { isMdevUuid } from '../host/mdev-name.js';
import { listMdevs, listMdevTypes } from '../host/mdev.js';
import { listDefinitions, type MdevDefinition } from '../host/mdevctl.js';
import { mdevUuidFor } from '../host/uuid-v5.js';
import { readVgpu, type Vgpu } from '../host/vgpu.js';
import { toBdf, type Bdf } from '../pci/pci-address.js';
import {
  planCreateMdev,
  planCreateVgpu,
  planRemoveMdev,
  planRemoveVgpu,
  type MdevWorld,
} from '../plan/plan-mdev.js';
import type { Environment } from './environment.js';
import { HostSession } from './host-session.js';
import type { WaitOptions } from './requests.js';

/** How the kernel shows such devices. */
export type MdevFramework = 'mdev' | 'nvidia-vendor-vfio';

/** What a parent, or a VF, can make. */
export interface OfferedType {
  readonly framework: MdevFramework;
  readonly parent: string;
  readonly type: string;
  readonly name: string | undefined;
  /** How many more; undefined where the framework does not say. */
  readonly available: number | undefined;
}

/** One that exists. */
export interface MadeDevice {
  readonly framework: MdevFramework;
  /** UUID of an mdev, address of a vGPU. */
  readonly device: string;
  readonly parent: string;
  readonly type: string;
  readonly group: number | undefined;
}

export interface MdevListing {
  readonly types: readonly OfferedType[];
  readonly devices: readonly MadeDevice[];
  /** What mdevctl is to make; `active` where it is there. Nobody here changes them. */
  readonly definitions: readonly (MdevDefinition & { readonly active: boolean })[];
}

/** Which UUID a new mdev gets: the one given, or the one of a VM and a name. */
export type MdevIdentity =
  { readonly uuid: string } | { readonly vm: string; readonly name: string };

export interface CreateMdevRequest {
  /** Name under /sys/class/mdev_bus; or a VF that becomes the vGPU itself. */
  readonly parent: string;
  /** `mtty-2`, `nvidia-222`; for a vGPU of NVIDIA's the number or the name. */
  readonly type: string;
  /** Not for a vGPU of NVIDIA's, which keeps its address. */
  readonly identity?: MdevIdentity | undefined;
  /** Rules of a policy, asked of a parent that is a PCI function. */
  readonly rules?: readonly Rule[] | undefined;
}

export interface MdevResult {
  readonly framework: MdevFramework;
  readonly device: string;
  readonly already: boolean;
  readonly steps: readonly StepReport[];
}

/** Mediated devices and vGPUs: what the host offers, what is made of it, and what goes again. */
export class MdevControl {
  readonly #session: HostSession;

  constructor(environment: Environment) {
    this.#session = new HostSession(environment);
  }

  async list(): Promise<MdevListing> {
    const { effects } = this.#session.environment;
    const types = (await listMdevTypes(effects)).map(
      ({ parent, type, name, available }): OfferedType => ({
        framework: 'mdev',
        parent,
        type,
        name,
        available,
      }),
    );
    const devices = (await listMdevs(effects)).map(
      ({ uuid: device, parent, type, group }): MadeDevice => ({
        framework: 'mdev',
        device,
        parent,
        type,
        group,
      }),
    );
    const { devices: functions } = await readHostSnapshot(effects);
    for (const { bdf, physfn, iommuGroup } of functions.values()) {
      const vgpu = physfn === undefined ? undefined : await readVgpu(effects, bdf);
      if (vgpu === undefined) continue;
      const of = { framework: 'nvidia-vendor-vfio', parent: bdf } as const;
      for (const { id, name } of vgpu.creatable) {
        types.push({ ...of, type: id, name, available: undefined });
      }
      if (vgpu.current === '0') continue;
      devices.push({ ...of, device: bdf, type: vgpu.current, group: iommuGroup });
    }
    const made = new Set(devices.map(({ device }) => device));
    const definitions = (await listDefinitions(effects)).map((definition) => ({
      ...definition,
      active: made.has(definition.uuid),
    }));
    return { types, devices, definitions };
  }

  /**
   * @throws {InputError} `BAD_ARGUMENT`, `BAD_ID`.
   * @throws {RefusedError} `NO_MDEV`, `ID_TAKEN`; nothing was changed.
   * @throws {StepError} it failed, and nothing is left of it.
   */
  async create(request: CreateMdevRequest, options: WaitOptions = {}): Promise<MdevResult> {
    checkPart('parent', request.parent);
    checkType(request.type);
    const uuid = request.identity && uuidOf(request.identity);
    const call = { operation: 'host mdev create', about: `${request.parent} ${request.type}` };
    return this.#session.exclusively(call, options, async () => {
      const world = await this.#world();
      const { effects, runtime } = this.#session.environment;
      const { rules } = request;
      const vf = await this.#findVgpu(request.parent);
      if (vf !== undefined) {
        await checkRules({ effects, runtime }, [vf.bdf], { rules });
        const plan = planCreateVgpu({ ...vf, type: request.type }, world);
        const steps = await this.#session.run(plan);
        const already = plan === undefined;
        return { framework: 'nvidia-vendor-vfio', device: vf.bdf, already, steps };
      }
      if (uuid === undefined) {
        throw new InputError('BAD_ARGUMENT', 'A mediated device needs a UUID', {
          remedy: 'give --uuid, or --vm and --name',
        });
      }
      const { type } = request;
      const parent = await this.#parentName(request.parent);
      if (isAddress(parent)) await checkRules({ effects, runtime }, [toBdf(parent)], { rules });
      const plan = planCreateMdev({ parent, type, uuid }, world);
      const steps = await this.#session.run(plan);
      return { framework: 'mdev', device: uuid, already: plan === undefined, steps };
    });
  }

  /**
   * Removes what `create` made; what is gone is a success.
   *
   * @param device UUID of an mdev, or address of a vGPU.
   * @throws {RefusedError} `NOT_OURS`, `CONFLICT`, `GROUP_HELD`; nothing was changed.
   */
  async remove(device: string, options: WaitOptions = {}): Promise<MdevResult> {
    if (!isMdevUuid(device)) parseSelector(device);
    const call = { operation: 'host mdev remove', about: device };
    return this.#session.exclusively(call, options, async () => {
      const world = await this.#world();
      if (isMdevUuid(device)) {
        const uuid = device.toLowerCase();
        const plan = planRemoveMdev(uuid, world);
        const steps = await this.#session.run(plan);
        return { framework: 'mdev', device: uuid, already: plan === undefined, steps };
      }
      const vf = await this.#findVgpu(device);
      if (vf === undefined) {
        throw new RefusedError('NO_MDEV', `${device} offers no vGPU`, {
          remedy: 'qmplug host mdev list',
          details: { device },
        });
      }
      const plan = planRemoveVgpu(vf, world);
      const steps = await this.#session.run(plan);
      const already = plan === undefined;
      return { framework: 'nvidia-vendor-vfio', device: vf.bdf, already, steps };
    });
  }

  async #world(): Promise<MdevWorld> {
    const { effects } = this.#session.environment;
    const first = await readHostSnapshot(effects);
    const [types, mdevs] = [await listMdevTypes(effects), await listMdevs(effects)];
    const groups = mdevs.flatMap(({ group }) => group ?? []);
    const vgpus = [...first.devices.values()].flatMap(({ physfn, iommuGroup }) =>
      physfn === undefined ? [] : (iommuGroup ?? []),
    );
    const host = await lookCloser(effects, first, { holders: [...new Set([...groups, ...vgpus])] });
    return { ...(await this.#session.world(host)), types, mdevs };
  }

  /** A PCI parent may be named like any device; the kernel lists it by its address. */
  async #parentName(text: string): Promise<string> {
    return isSelector(text) ? this.#named(text) : text;
  }

  async #named(text: string): Promise<Bdf> {
    const { effects, runtime } = this.#session.environment;
    return selectDevice({ effects, runtime }, text, { guarded: false });
  }

  async #findVgpu(text: string): Promise<{ readonly bdf: Bdf; readonly vgpu: Vgpu } | undefined> {
    if (!isSelector(text)) return undefined;
    const bdf = await this.#named(text);
    const vgpu = await readVgpu(this.#session.environment.effects, bdf);
    return vgpu && { bdf, vgpu };
  }
}

function isSelector(text: string): boolean {
  try {
    parseSelector(text);
    return true;
  } catch {
    return false;
  }
}

/** A name becomes part of a path. */
function checkPart(what: string, name: string): void {
  if (/^[A-Za-z0-9][\w.:+-]*$/.test(name)) return;
  throw new InputError('BAD_ARGUMENT', `Not the name of a ${what}: ${JSON.stringify(name)}`, {
    remedy: 'qmplug host mdev list names what there is',
  });
}

/** A directory of sysfs, or a number or a name of NVIDIA's, which is compared and never put into a path. */
function checkType(type: string): void {
  if (type !== '' && !type.includes('/') && type !== '..') return;
  throw new InputError('BAD_ARGUMENT', `Not the name of a type: ${JSON.stringify(type)}`, {
    remedy: 'qmplug host mdev list names what there is',
  });
}

function uuidOf(identity: MdevIdentity): string {
  if (!('uuid' in identity)) return mdevUuidFor(identity.vm, identity.name);
  if (isMdevUuid(identity.uuid)) return identity.uuid.toLowerCase();
  throw new InputError('BAD_ID', `Not a UUID: ${JSON.stringify(identity.uuid)}`, {
    remedy: 'for example the one that uuidgen prints',
  });
}
