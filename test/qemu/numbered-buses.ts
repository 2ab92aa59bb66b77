import { vi } from 'vitest';
import type { JsonValue } from '../../src/json.js';
import { readPciTree } from '../../src/qmp/query-pci.js';
import { ReplyValue } from '../../src/qmp/guards.js';
import { flattenPciTree } from '../../src/vm/index.js';
import type { Qemu } from '../support/qemu.js';

/** Waits until the firmware has numbered the bus behind every port and opened its windows. */
export async function waitForNumberedBuses(qemu: Qemu, ports: readonly string[], timeout = 90_000) {
  return vi.waitFor(
    async () => {
      const reply = (await qemu.qmp.execute('query-pci')) as JsonValue;
      const functions = flattenPciTree(readPciTree(ReplyValue.of('query-pci', reply)));
      return new Map(
        ports.map((id) => {
          const bridge = functions.find((fn) => fn.qdevId === id)?.bridge;
          if (bridge === undefined) throw new Error(`${id} is not in query-pci`);
          const { base, limit } = bridge.memoryRange;
          // A bridge comes out of reset with its window at 0.
          const isSetUp = bridge.secondaryBus !== 0 && base !== 0n && base <= limit;
          if (!isSetUp) throw new Error(`${id} has no bus yet`);
          return [id, bridge] as const;
        }),
      );
    },
    { timeout, interval: 200 },
  );
}
