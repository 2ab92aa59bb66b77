import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Clock } from '../../src/clock.js';
import { bindToVfio, recordBinding, type BindingRecord } from '../../src/host/binding.js';
import { reprobeSiblings, restoreBinding } from '../../src/host/restore-binding.js';
import { toBdf } from '../../src/pci/pci-address.js';
import { FakeKernel, Killed } from './fake-kernel.js';

const NIC = toBdf('0000:05:00.0');
const SIBLING = toBdf('0000:05:00.1');

function kernelWith(setup: Parameters<FakeKernel['add']>[1] = {}): FakeKernel {
  const kernel = new FakeKernel();
  kernel.add(NIC, { driver: 'e1000e', ...setup });
  return kernel;
}

/** Time passes only by waiting. */
function steppingClock(): Clock {
  let nowMs = 0;
  return {
    now: () => nowMs,
    after(delayMs, callback) {
      nowMs += delayMs;
      queueMicrotask(callback);
      return () => undefined;
    },
  };
}

describe('bindToVfio', () => {
  it('sets the override, unbinds, binds, and nothing else', async () => {
    const kernel = kernelWith();
    const result = await bindToVfio(kernel.effects, NIC);
    expect(result).toEqual({ driver: 'vfio-pci', group: 7, already: false });
    expect(kernel.writes).toEqual([
      `/sys/bus/pci/devices/${NIC}/driver_override "vfio-pci"`,
      `/sys/bus/pci/devices/${NIC}/driver/unbind "${NIC}"`,
      `/sys/bus/pci/drivers/vfio-pci/bind "${NIC}"`,
    ]);
    expect(kernel.state()).toEqual({ [NIC]: { driver: 'vfio-pci', override: 'vfio-pci' } });
  });

  it('leaves a function that is bound already alone', async () => {
    const kernel = kernelWith({ driver: 'vfio-pci' });
    expect(await bindToVfio(kernel.effects, NIC)).toMatchObject({ already: true });
    expect(kernel.writes).toEqual([]);
  });

  it('takes either spelling of a driver and loads what is missing', async () => {
    const kernel = kernelWith();
    kernel.drivers.delete('vfio-pci');
    kernel.loadable.set('vfio_pci', 'vfio-pci');
    expect(await bindToVfio(kernel.effects, NIC, 'vfio_pci')).toMatchObject({ driver: 'vfio-pci' });
    kernel.drivers.delete('vfio-pci');
    kernel.loadable.clear();
    const missing = bindToVfio(kernel.effects, NIC);
    await expect(missing).rejects.toMatchObject({
      code: 'DRIVER_MISSING',
      remedy: 'modprobe vfio_pci',
    });
  });

  it('refuses a function without an IOMMU group before any write', async () => {
    const kernel = kernelWith({ group: undefined });
    // amd_iommu=on is no option of the kernel.
    await expect(bindToVfio(kernel.effects, NIC)).rejects.toMatchObject({
      code: 'NO_IOMMU',
      remedy: expect.not.stringContaining('amd_iommu') as string,
    });
    await expect(bindToVfio(kernel.effects, SIBLING)).rejects.toMatchObject({ code: 'NO_MATCH' });
    await expect(bindToVfio(kernel.effects, NIC, '../x')).rejects.toMatchObject({
      code: 'NO_IOMMU',
    });
    expect(kernel.writes).toEqual([]);
  });

  it('never lets a driver name lead to another path', async () => {
    const kernel = kernelWith();
    await expect(bindToVfio(kernel.effects, NIC, '../x')).rejects.toMatchObject({
      code: 'BAD_ARGUMENT',
    });
    expect(kernel.writes).toEqual([]);
  });

  it('reports what the probe said', async () => {
    const kernel = kernelWith();
    kernel.probeErrors.set('vfio-pci', 'EINVAL');
    await expect(bindToVfio(kernel.effects, NIC)).rejects.toMatchObject({
      code: 'PROBE_FAILED',
      details: { device: NIC, driver: 'vfio-pci', errno: 'EINVAL' },
    });
  });

  it('reports an unbind that does not come back as STUCK', async () => {
    const kernel = kernelWith({ driver: 'vfio-pci' });
    kernel.drivers.add('mlx5_vfio_pci');
    kernel.heldGroups.set(7, 812);
    await expect(bindToVfio(kernel.effects, NIC, 'mlx5_vfio_pci')).rejects.toMatchObject({
      code: 'STUCK',
      details: { subject: NIC },
    });
  });

  it('waits for the node, and not for ever', async () => {
    const kernel = kernelWith();
    kernel.nodesAppear = false;
    const clock = steppingClock();
    await expect(
      bindToVfio(kernel.effects, NIC, 'vfio-pci', { clock, nodeDeadlineMs: 5_000 }),
    ).rejects.toMatchObject({ code: 'HOST_IO', details: { node: '/dev/vfio/7' } });
    expect(clock.now()).toBeGreaterThanOrEqual(5_000);
    const later = steppingClock();
    later.after(0, () => undefined);
    const appearing: Clock = {
      now: () => later.now(),
      after(delayMs, callback) {
        if (later.now() > 50) kernel.nodesAppear = true;
        return later.after(delayMs, callback);
      },
    };
    await bindToVfio(kernel.effects, NIC, 'vfio-pci', { clock: appearing });
  });
});

describe('recordBinding', () => {
  it('keeps exactly what was there, in JSON', async () => {
    const kernel = kernelWith({ override: 'e1000e' });
    kernel.modules.set('e1000e', 'e1000e_dkms');
    const record = await recordBinding(kernel.effects, NIC);
    expect(record).toEqual({
      bdf: NIC,
      driver: 'e1000e',
      module: 'e1000e_dkms',
      override: 'e1000e',
    });
    expect(JSON.parse(JSON.stringify(record))).toEqual(record);
  });

  it('records nothing it could not read', async () => {
    const kernel = kernelWith();
    kernel.overrideHangs = true;
    await expect(recordBinding(kernel.effects, NIC)).rejects.toMatchObject({
      code: 'HOST_UNREADABLE',
    });
  });
});

/** Any state a function can be found in: also an override that its driver does not match. */
const anySetup = fc.record({
  driver: fc.constantFrom(null, 'e1000e', 'vfio-pci', 'pci-stub'),
  override: fc.constantFrom(null, 'e1000e', 'vfio-pci', 'absent-driver'),
});

/** Runs until the kernel kills it; true when it was killed. */
async function untilKilled(work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return false;
  } catch (error) {
    if (error instanceof Killed) return true;
    throw error;
  }
}

describe('restoreBinding', () => {
  it('is the exact inverse of bindToVfio, wherever either of them was killed', async () => {
    let kills = 0;
    await fc.assert(
      fc.asyncProperty(
        anySetup,
        fc.option(fc.integer({ min: 1, max: 8 }), { nil: undefined }),
        fc.array(fc.integer({ min: 1, max: 12 }), { maxLength: 3 }),
        async (setup, killBind, killRestores) => {
          const kernel = kernelWith(setup);
          const before = kernel.state();
          const text = JSON.stringify(await recordBinding(kernel.effects, NIC));
          const record = JSON.parse(text) as BindingRecord;
          kernel.killAt = killBind;
          if (await untilKilled(() => bindToVfio(kernel.effects, NIC))) kills += 1;
          for (const at of killRestores) {
            kernel.writes.length = 0;
            kernel.killAt = at;
            if (await untilKilled(() => restoreBinding(kernel.effects, record))) kills += 1;
          }
          kernel.killAt = undefined;
          await restoreBinding(kernel.effects, record);
          expect(kernel.state()).toEqual(before);
          kernel.writes.length = 0;
          expect(await restoreBinding(kernel.effects, record)).toBe('already');
          expect(kernel.writes).toEqual([]);
        },
      ),
      { numRuns: 500 },
    );
    expect(kills).toBeGreaterThan(100);
  });

  it('clears an override with a newline, which is the only thing that does', async () => {
    const kernel = kernelWith();
    const record = await recordBinding(kernel.effects, NIC);
    await bindToVfio(kernel.effects, NIC);
    kernel.writes.length = 0;
    expect(await restoreBinding(kernel.effects, record)).toBe('restored');
    expect(kernel.writes[0]).toBe(`/sys/bus/pci/devices/${NIC}/driver_override "\\n"`);
  });

  it('loads the module that brought the driver, however it is spelled', async () => {
    const kernel = kernelWith({ driver: 'xhci_hcd', natives: ['xhci_hcd'] });
    kernel.modules.set('xhci_hcd', 'xhci_pci');
    const record = await recordBinding(kernel.effects, NIC);
    await bindToVfio(kernel.effects, NIC);
    kernel.drivers.delete('xhci_hcd');
    kernel.loadable.set('xhci_pci', 'xhci_hcd');
    await restoreBinding(kernel.effects, record);
    expect(kernel.state()).toEqual({ [NIC]: { driver: 'xhci_hcd', override: null } });
  });

  it('does not touch a function while its group is open', async () => {
    const kernel = kernelWith();
    const record = await recordBinding(kernel.effects, NIC);
    await bindToVfio(kernel.effects, NIC);
    kernel.heldGroups.set(7, 812);
    kernel.writes.length = 0;
    await expect(restoreBinding(kernel.effects, record)).rejects.toMatchObject({
      code: 'GROUP_HELD',
      details: { pid: 812, command: 'qemu-kvm', node: '/dev/vfio/7' },
    });
    expect(kernel.writes).toEqual([]);
    kernel.heldGroups.clear();
    expect(await restoreBinding(kernel.effects, record)).toBe('restored');
  });

  it('has nothing to do for a function that is gone', async () => {
    const kernel = kernelWith();
    const record = await recordBinding(kernel.effects, NIC);
    kernel.functions.clear();
    expect(await restoreBinding(kernel.effects, record)).toBe('gone');
  });

  it('reports a driver that does not take it back', async () => {
    const kernel = kernelWith();
    const record = await recordBinding(kernel.effects, NIC);
    await bindToVfio(kernel.effects, NIC);
    kernel.probeErrors.set('e1000e', 'EIO');
    await expect(restoreBinding(kernel.effects, record)).rejects.toMatchObject({
      code: 'PROBE_FAILED',
      details: { errno: 'EIO' },
    });
    kernel.probeErrors.clear();
    expect(await restoreBinding(kernel.effects, record)).toBe('restored');
  });
});

describe('reprobeSiblings', () => {
  it('gives a driverless sibling its driver back, and believes the link rather than the write', async () => {
    const kernel = kernelWith({ driver: 'vfio-pci' });
    kernel.add(SIBLING);
    kernel.heldGroups.set(7, 812);
    expect(await reprobeSiblings(kernel.effects, [SIBLING])).toEqual([
      { bdf: SIBLING, driver: undefined },
    ]);
    kernel.heldGroups.clear();
    expect(await reprobeSiblings(kernel.effects, [SIBLING])).toEqual([
      { bdf: SIBLING, driver: 'e1000e' },
    ]);
    const count = kernel.writes.length;
    await reprobeSiblings(kernel.effects, [SIBLING, toBdf('0000:99:00.0')]);
    expect(kernel.writes.length).toBe(count);
  });
});
