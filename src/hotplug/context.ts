import type { Clock } from '../clock.js';
import type { Journal, Reservations } from '../engine/index.js';
import type { HostEffects } from '../host/effects.js';
import type { Quarantine } from '../host/quarantine.js';
import type { Logger } from '../logger.js';
import type { RemovalRequests } from './removal-requests.js';
import type { StepSecrets } from './secrets.js';
import type { VmLink } from './vm-link.js';

/** What the handlers of the steps may touch. */
export interface StepContext {
  readonly vm: VmLink;
  /** Who was asked to leave, and when. */
  readonly removals: RemovalRequests;
  readonly secrets: StepSecrets;
  /** Bars the devices in quarantine. */
  readonly host: HostEffects;
  readonly quarantine: Quarantine;
  readonly reservations: Reservations;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly logger: Logger;
}
