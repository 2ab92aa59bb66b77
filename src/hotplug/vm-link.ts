import type { QmpEvent, QmpSession } from '../qmp/session.js';
import type { VmIdentity, VmKey } from '../vm/types.js';

/** How the steps reach the VM: whatever session is alive, or the proof that there is no VM. */
export interface VmLink {
  readonly address: string;
  readonly identity: VmIdentity;
  readonly key: VmKey;
  /**
   * The session, opened anew when the last one ended. It is the same VM or an error.
   *
   * @throws {ConnectError} no session can be had.
   * @throws {RefusedError} `VM_GONE` when the VM is proven to have ended.
   */
  session(): Promise<QmpSession>;
  /** Whether the VM is proven to have ended. Never true for what merely does not answer. */
  isGone(): Promise<boolean>;
  /** Calls back for the events of every session, now and after a reconnect. */
  onEvent(listener: (event: QmpEvent) => void): () => void;
  close(): Promise<void>;
}
