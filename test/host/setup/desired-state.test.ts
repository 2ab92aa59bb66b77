import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { parseDesiredState } from '../../../src/host/setup/index.js';
import { kvmfrSizeMb } from '../../../src/host/setup/wants/kvmfr-size.js';

it('reads the example', () => {
  const path = join(import.meta.dirname, '../../../examples/host.json');
  expect(parseDesiredState(readFileSync(path, 'utf8')).early).toEqual([
    { device: '0000:01:00.0', method: 'bdf-rule' },
    { device: '0000:01:00.1', method: 'bdf-rule' },
  ]);
});

it.each([
  ['{"iommu":{"mode":"maybe"}}', 'iommu.mode'],
  ['{"kvm":{"ignore_msrs":true}}', 'kvm.ignore_msrs'],
  ['{"early":[{"device":"0000:01:00.0","method":"x"}]}', 'early[0].method'],
  ['{"early":["not a device"]}', 'early[0]'],
  ['{"kvmfr":{"sizesMb":[100]}}', 'kvmfr.sizesMb[0]'],
  ['{"kvmfr":{}}', 'kvmfr'],
  ['{"kvmfr":{"sizesMb":[1,1,1,1,1,1,1,1,1,1,1]}}', 'kvmfr'],
  ['{"memlock":[{"unit":"a.service","user":"b","limit":"1G"}]}', 'memlock[0]'],
  ['{"memlock":[{"user":"b","limit":"lots"}]}', 'memlock[0].limit'],
  ['{"hugepages":{"2M":{"node0":1}}}', 'hugepages.2M.node0'],
  ['{"vfio":{"blacklist":true},"early":["0000:01:00.0"]}', 'vfio.blacklist'],
  ['{"__proto__":{}}', '__proto__'],
  ['{"constructor":{}}', 'constructor'],
  ['[]', ''],
])('refuses %s and says where', (source, path) => {
  expect(() => parseDesiredState(source)).toThrow(
    expect.objectContaining({ code: 'BAD_DESIRED_STATE', details: { path } }) as Error,
  );
});

it.each([
  ['1920x1080', 1920, 1080, 32],
  ['2560x1440', 2560, 1440, 64],
  ['2560x1600', 2560, 1600, 64],
  ['3840x2160', 3840, 2160, 128],
  ['5120x2880', 5120, 2880, 256],
  ['7680x4320', 7680, 4320, 512],
])('sizes kvmfr for %s', (_, width, height, size) => {
  expect(kvmfrSizeMb({ width, height, hdr: false }, 'larger')).toBe(size);
});

it('sizes 5120x2880 by the formula that is stated', () => {
  const picture = { width: 5120, height: 2880, hdr: false };
  expect(kvmfrSizeMb(picture, 'double')).toBe(128);
  expect(kvmfrSizeMb(picture, 'triple')).toBe(256);
});
