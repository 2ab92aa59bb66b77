import type { SetupHost } from '../setup-host.js';

/** What the handlers of set-up steps may touch. */
export interface SetupContext {
  readonly host: SetupHost;
}
