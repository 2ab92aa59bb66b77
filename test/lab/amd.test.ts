import { expect, it } from 'vitest';
import {
  devicesIn,
  errorOf,
  hostState,
  qmplug,
  runProgram,
  succeeds,
} from '../support/host-cli.js';
import { OF_THE_IOMMU } from '../support/kernel-scripts.js';
import { rootPort } from '../support/qemu.js';
import { bootVfioHost } from '../support/vfio-host.js';

it('lends on a host with an AMD IOMMU that cannot remap interrupts once unsafe ones are allowed', async () => {
  await using host = await bootVfioHost({
    devices: ['testdev'],
    iommu: 'amd',
    interruptRemapping: false,
  });
  expect(await host.sh('ls /sys/class/iommu')).toBe('ivhd0\n');
  const before = await hostState(host);

  const iommu = (await host.sh('grep -l 0x080600 /sys/bus/pci/devices/*/class')).split('/')[5];
  const script = OF_THE_IOMMU.lines.map(([line]) => line);
  const [yielded] = (await runProgram(host, 'kernel-scripts', [
    JSON.stringify({ scripts: [script], places: { iommu } }),
  ])) as [readonly (readonly string[])[]];
  expect(script.map((line, index) => [line, yielded[0]?.[index]])).toEqual(OF_THE_IOMMU.lines);
  expect(await hostState(host)).toBe(before);

  await using vm = await host.startQemu({
    paused: true,
    hotplug: 'native',
    args: rootPort('rp0', 2),
  });
  const idle = await hostState(host);
  const testdev = await host.bdf('testdev');
  const refused = await qmplug(host, ['attach', vm.qmpPath, testdev]);
  expect(refused).toMatchObject({ status: 4, json: { error: { code: 'STEP_FAILED' } } });
  expect(errorOf(refused).remedy).toContain('interrupt remapping');
  expect(await hostState(host)).toBe(idle);

  await host.sh('echo Y >/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts');
  await succeeds(host, ['attach', vm.qmpPath, testdev]);
  expect(await devicesIn(vm)).toHaveLength(1);
  await succeeds(host, ['detach', vm.qmpPath, testdev]);
  expect(await hostState(host)).toBe(idle);
});
