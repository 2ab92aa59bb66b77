export { DEFAULT_PHYS_BITS } from './address-space.js';
export { bootPlanToJson } from './boot-json.js';
export { DEFAULT_PORT_LIMIT, MAX_ROOT_PORTS } from './check-request.js';
export { planBoot } from './plan-boot.js';
export type { BootPlan, BootRequest, Firmware, PlannedPort, PlannedWindow } from './types.js';
