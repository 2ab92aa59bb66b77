import type { Reservation } from '../engine/index.js';
import type { QuarantineEntry } from '../host/quarantine.js';
import type { HostSnapshot } from '../host/types.js';
import type { VmSnapshot } from '../vm/types.js';
import type { Attachment } from './attachment.js';
import type { IommufdFacts } from './route.js';

/** Everything the planner may know, read before it is called. */
export interface World {
  /** The VM's address as the user wrote it, for the journal's readers. */
  readonly address: string;
  readonly vm: VmSnapshot;
  /** Read only where host devices are asked for. */
  readonly host: HostSnapshot | undefined;
  /** Read only where a host device may go in through iommufd. */
  readonly iommufd?: IommufdFacts | undefined;
  /** Why this QEMU cannot hand the token of a VF on; read only where one is given. */
  readonly noVfToken?: string | undefined;
  /** What the journal says is in this VM. */
  readonly attachments: readonly Attachment[];
  /** Ids whose removal was requested and is not over. */
  readonly leaving: ReadonlySet<string>;
  readonly reservations: readonly Reservation[];
  /** Devices that nobody may touch. */
  readonly quarantine: readonly QuarantineEntry[];
  /** A new plan's id. */
  readonly planId: string;
}
