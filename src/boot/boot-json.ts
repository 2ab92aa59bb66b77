import type { JsonObject } from '../json.js';
import type { BootPlan } from './types.js';

/** The plan as `boot-args --json` prints it: sizes in bytes, null where the firmware decides. */
export function bootPlanToJson(plan: BootPlan): JsonObject {
  return {
    args: plan.args,
    ports: plan.ports.map(({ id, kind, bus, chassis, slot, addr, window }) => ({
      id,
      kind,
      bus,
      chassis,
      slot,
      addr,
      window: {
        prefetchableBytes: jsonSize(window.prefetchableBytes),
        memoryBytes: jsonSize(window.memoryBytes),
      },
    })),
  };
}

function jsonSize(bytes: bigint | undefined): number | string | null {
  if (bytes === undefined) return null;
  return bytes <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(bytes) : String(bytes);
}
