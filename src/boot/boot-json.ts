import type { JsonObject } from '../json.js';
import type { BootPlan } from './types.js';

/**
 * The plan as `boot-args --json` prints it: sizes in bytes, null where the firmware decides. `capacity` stands
 * with what takes more than one device, `numaNode` and `expects` where nodes were asked for.
 */
export function bootPlanToJson(plan: BootPlan): JsonObject {
  return {
    args: plan.args,
    ports: plan.ports.map((port) => ({
      id: port.id,
      kind: port.kind,
      bus: port.bus,
      chassis: port.chassis,
      slot: port.slot,
      addr: port.addr,
      window: {
        prefetchableBytes: jsonSize(port.window.prefetchableBytes),
        memoryBytes: jsonSize(port.window.memoryBytes),
      },
      ...(port.capacity === 1 ? {} : { capacity: port.capacity }),
      ...(port.numaNode === undefined ? {} : { numaNode: port.numaNode }),
    })),
    ...(plan.expects.length === 0 ? {} : { expects: plan.expects }),
    ...(plan.experimental === undefined ? {} : { experimental: plan.experimental }),
  };
}

function jsonSize(bytes: bigint | undefined): number | string | null {
  if (bytes === undefined) return null;
  return bytes <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(bytes) : String(bytes);
}
