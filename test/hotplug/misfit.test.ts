import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../src/json.js';
import type { StepContext } from '../../src/hotplug/context.js';
import { addDevice } from '../../src/hotplug/steps/add-device.js';
import type { AddDevice } from '../../src/plan/steps.js';

const RESET = { base: 0xfff0_0000, limit: 0xf_ffff };
const MEMORY = { base: 0xfe00_0000, limit: 0xfe1f_ffff };
const SMALL = { base: 0xfd00_0000, limit: 0xfd0f_ffff };
const LARGE = { base: 0x1_0000_0000, limit: 0x1_ffff_ffff };
const HALF_WRITTEN = { base: LARGE.base, limit: RESET.limit };

const STEP: AddDevice = {
  kind: 'AddDevice',
  id: 'd0',
  driver: 'virtio-balloon-pci',
  port: 'rp0',
  bus: 'rp0',
  busPath: '/machine/peripheral/rp0/rp0',
  devfn: 0,
  addr: '0x0',
  host: undefined,
  properties: {},
  deadlineMs: 1_000,
  judgeBars: true,
};

interface Range {
  readonly base: number;
  readonly limit: number;
}

/** `query-pci` of a VM with a 16 MiB BAR in rp0, whose windows are these. */
function tree(memory: Range, prefetchable: Range): unknown {
  const common = { bus: 0, slot: 2, function: 0, irq_pin: 0, regions: [] };
  const id = { vendor: 1, device: 1 };
  const bar = {
    type: 'memory',
    bar: 4,
    size: 2 ** 24,
    prefetch: true,
    mem_type_64: true,
    address: -1,
  };
  const device = {
    ...common,
    id,
    class_info: { class: 255 },
    qdev_id: 'd0',
    bus: 1,
    regions: [bar],
  };
  const bus = {
    number: 0,
    secondary: 1,
    subordinate: 1,
    io_range: { base: 0xf000, limit: 0xfff },
    memory_range: memory,
    prefetchable_range: prefetchable,
  };
  const port = {
    ...common,
    id,
    class_info: { class: 0x604 },
    qdev_id: 'rp0',
    pci_bridge: { bus, devices: [device] },
  };
  return [{ bus: 0, devices: [port] }];
}

/** The step in a VM that shows these windows, one after the other; the last ones stay. */
async function addWhile(...windows: readonly (readonly [Range, Range])[]) {
  let looks = 0;
  const answers: Readonly<Record<string, () => unknown>> = {
    device_add: () => ({}),
    'qom-list': () => [{ name: 'd0', type: 'child<virtio-balloon-pci>' }],
    'query-pci': () => {
      const [memory, prefetchable] = windows[Math.min(looks, windows.length - 1)] ?? [RESET, RESET];
      looks += 1;
      return tree(memory, prefetchable);
    },
  };
  const places = new Map<unknown, unknown>([
    ['parent_bus', STEP.busPath],
    ['addr', 0],
  ]);
  const execute = async (command: string, args?: JsonObject) =>
    command === 'qom-get' ? places.get(args?.['property']) : answers[command]?.();
  // Of the context the step uses the session and the clock.
  const context = {
    vm: { session: async () => ({ execute }) },
    clock: {
      now: () => 0,
      after: (_ms: number, wake: () => void) => {
        queueMicrotask(wake);
        return () => undefined;
      },
    },
  } as unknown as StepContext;
  await addDevice.do(STEP, context, undefined);
  return looks;
}

describe('a device whose BARs show only in the VM', () => {
  it('is in at the first look where its port holds it', async () => {
    expect(await addWhile([MEMORY, LARGE])).toBe(1);
  });

  it('is refused where its port does not hold it, seen twice', async () => {
    await expect(addWhile([MEMORY, SMALL])).rejects.toMatchObject({
      code: 'NO_WINDOW',
      message: expect.stringMatching(/d0 does not fit rp0: 16M BAR 4 .*0xfd000000/) as unknown,
    });
  });

  it.each([
    ['nothing is set up', [RESET, RESET], 1],
    ['the other window is open', [MEMORY, RESET], 2],
    ['the other window is open and this one half', [MEMORY, HALF_WRITTEN], 2],
  ] as const)('is not refused by firmware that boots: %s', async (_, windows, looks) => {
    expect(await addWhile(windows, [MEMORY, LARGE])).toBe(looks);
  });

  it('is refused in the end where the windows never rest', async () => {
    const restless = Array.from({ length: 30 }, (_, index): [Range, Range] => [
      MEMORY,
      { base: SMALL.base, limit: SMALL.limit - 0x1_0000 * (index % 2) },
    ]);
    await expect(addWhile(...restless)).rejects.toMatchObject({ code: 'NO_WINDOW' });
  });
});
