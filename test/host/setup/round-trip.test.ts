import { expect, it } from 'vitest';
import {
  applyHost,
  planHost,
  readDesiredState,
  rollbackHost,
} from '../../../src/host/setup/index.js';
import { debian, silverblue } from './stand-ins.js';
import { HostTree } from './tree.js';

const desired = readDesiredState({
  iommu: { mode: 'pt' },
  kvm: { ignoreMsrs: true, reportIgnoredMsrs: false },
});

it.each([
  ['Debian (stand-ins)', debian, 'update-grub'],
  ['an rpm-ostree system (stand-ins)', silverblue, 'rpm-ostree'],
])('applies once and puts back byte for byte: %s', async (_, tree, program) => {
  using host = new HostTree(tree);
  const before = host.fingerprint();
  const environment = host.environment();
  const plan = await planHost(environment, desired);
  expect(host.fingerprint()).toEqual(before);
  const applied = await applyHost(environment, desired, { reviewed: plan.hash });
  expect(applied.needsReboot).toBe(true);
  const callCount = host.calls().filter((call) => call.startsWith(program)).length;
  expect(callCount).toBe(1);
  const after = host.fingerprint();
  const again = await applyHost(environment, desired);
  expect(again.steps).toEqual([]);
  expect(host.fingerprint()).toEqual(after);
  const { refused } = await rollbackHost(environment);
  expect(refused).toEqual([]);
  expect(host.fingerprint()).toEqual(before);
});
