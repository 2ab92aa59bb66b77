import { planAttach } from './plan-attach.js';
import { planDetach, planForeignDetach } from './plan-detach.js';

/** The decisions about a running VM: from a request and what was seen to the steps, or a refusal. */
export interface Planner {
  readonly attach: typeof planAttach;
  readonly detach: typeof planDetach;
  readonly detachForeign: typeof planForeignDetach;
}

export const planner: Planner = {
  attach: planAttach,
  detach: planDetach,
  detachForeign: planForeignDetach,
};
