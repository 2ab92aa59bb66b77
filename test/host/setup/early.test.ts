import { expect, it } from 'vitest';
import { readDesiredState, type SetupPlan } from '../../../src/host/setup/index.js';
import { desktop, plan, RELEASE_MODULES, VFIO_MODULES } from './planning.js';
import * as trees from './stand-ins.js';

it('asks the kernel whether there is a vfio_virqfd', async () => {
  const withIt = {
    ...desktop,
    [RELEASE_MODULES]: `${VFIO_MODULES}kernel/vfio_virqfd.ko:\n`,
  };
  const block = (made: SetupPlan) =>
    made.actions.find(({ id }) => id === '/etc/initramfs-tools/modules')?.wanted;
  expect(block(await plan(withIt, { early: ['0000:01:00.0'] }))).toContain('vfio_virqfd');
  expect(block(await plan(desktop, { early: ['0000:01:00.0'] }))).not.toContain('vfio_virqfd');
});

it('a device that does not exist makes no rule and no path', async () => {
  const made = await plan(trees.debian, { early: ['0000:01:00.0'] });
  expect(made.actions).toEqual([]);
  expect(() => readDesiredState({ early: ['../../etc/passwd'] })).toThrow(
    expect.objectContaining({ code: 'BAD_DESIRED_STATE' }) as Error,
  );
  expect(() => readDesiredState({ memlock: [{ unit: '../x.service', limit: '1G' }] })).toThrow(
    expect.objectContaining({ code: 'BAD_DESIRED_STATE' }) as Error,
  );
});
