import type { Liveness } from '../engine/index.js';
import { RefusedError } from '../errors.js';
import type { QmpEvent, QmpSession } from '../qmp/session.js';
import { HOST_SCOPE } from '../plan/steps.js';
import { vmKeyOf } from '../vm/identity.js';
import type { VmIdentity } from '../vm/types.js';
import type { VmLink } from './vm-link.js';

export interface LiveLinkOptions {
  readonly address: string;
  /** Opens and negotiates a session. */
  connect(): Promise<QmpSession>;
  /** Who answers at the address now. */
  identify(): Promise<VmIdentity>;
  readonly liveness: Liveness;
}

/** Connects to a VM and finds out which one it is. @throws {ConnectError} */
export async function openLiveLink(options: LiveLinkOptions): Promise<VmLink> {
  const session = await options.connect();
  try {
    const identity = await options.identify();
    return new LiveLink(options, identity, session);
  } catch (error) {
    await session.close();
    throw error;
  }
}

class LiveLink implements VmLink {
  readonly address: string;
  readonly identity: VmIdentity;
  readonly key: string;
  readonly #options: LiveLinkOptions;
  readonly #listeners = new Set<(event: QmpEvent) => void>();
  #session: QmpSession | undefined;
  #connecting: Promise<QmpSession> | undefined;

  constructor(options: LiveLinkOptions, identity: VmIdentity, session: QmpSession) {
    this.address = options.address;
    this.identity = identity;
    this.key = vmKeyOf(identity);
    this.#options = options;
    this.#adopt(session);
  }

  async session(): Promise<QmpSession> {
    if (this.#session !== undefined) return this.#session;
    this.#connecting ??= this.#reconnect().finally(() => (this.#connecting = undefined));
    return this.#connecting;
  }

  async isGone(): Promise<boolean> {
    if (this.identity.kind === 'address') return false;
    const alive = await this.#options.liveness.isAlive(this.identity);
    return alive.known && !alive.value;
  }

  onEvent(listener: (event: QmpEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    await this.#session?.close();
  }

  async #reconnect(): Promise<QmpSession> {
    if (await this.isGone()) throw this.#gone();
    const session = await this.#options.connect();
    try {
      // Another VM may have taken the address while nobody was connected.
      const identity = await this.#options.identify();
      if (vmKeyOf(identity) !== this.key) throw this.#gone();
    } catch (error) {
      await session.close();
      throw error;
    }
    return this.#adopt(session);
  }

  #adopt(session: QmpSession): QmpSession {
    this.#session = session;
    session.onEvent((event) => {
      for (const listener of this.#listeners) listener(event);
    });
    void session.closed.then(() => {
      if (this.#session === session) this.#session = undefined;
    });
    return session;
  }

  #gone(): RefusedError {
    return vmGone(this.address, this.key);
  }
}

/** A VM whose process is proven to have ended: nothing is in it, and nothing can be asked of it. */
export function goneLink(address: string, identity: VmIdentity): VmLink {
  const key = vmKeyOf(identity);
  return {
    address,
    identity,
    key,
    session: () => Promise.reject(vmGone(address, key)),
    isGone: () => Promise.resolve(true),
    onEvent: () => () => undefined,
    close: () => Promise.resolve(),
  };
}

/** No VM at all: for plans that concern the host alone. */
export function hostLink(): VmLink {
  const address = HOST_SCOPE;
  return {
    address,
    identity: { kind: 'address', address },
    key: HOST_SCOPE,
    session: () => Promise.reject(vmGone(address, HOST_SCOPE)),
    isGone: () => Promise.resolve(true),
    onEvent: () => () => undefined,
    close: () => Promise.resolve(),
  };
}

function vmGone(address: string, key: string): RefusedError {
  return new RefusedError('VM_GONE', `The VM ${key} at ${address} has ended`, {
    remedy: 'give back what it held: qmplug recover',
    details: { address, vm: key },
  });
}
