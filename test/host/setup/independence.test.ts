import { describe, expect, it } from 'vitest';
import { applyHost, readDesiredState } from '../../../src/host/setup/index.js';
import { plan, stateOf, wantedText } from './planning.js';
import * as trees from './stand-ins.js';
import { HostTree } from './tree.js';

describe('one item is no gate for another', () => {
  it('applies what can be had and tells what cannot, and that is no success', async () => {
    using host = new HostTree(trees.debian);
    const desired = readDesiredState({ kvm: { ignoreMsrs: true }, early: ['0000:09:00.0'] });
    const { items, steps } = await applyHost(host.environment(), desired);
    expect(stateOf({ items }, 'kvm.ignoreMsrs')).toBe('pending-reboot');
    expect(stateOf({ items }, 'early.0000:09:00.0')).toBe('unmet');
    expect(steps.length).toBeGreaterThan(0);
  });

  it('sets kvm.ignore_msrs although report_ignored_msrs is not on the line', async () => {
    expect(wantedText(await plan(trees.debian, { kvm: { ignoreMsrs: true } }))).toContain(
      'kvm.ignore_msrs=1',
    );
  });
});

it('no success is told where what it needs is not there', async () => {
  const none = { ...trees.debian, '/usr/lib/modules/6.1.0-50-amd64/modules.dep': '' };
  const made = await plan(
    { ...none, ...trees.pciDevice('0000:01:00.0') },
    { early: ['0000:01:00.0'] },
  );
  expect(stateOf(made, 'early')).toBe('unmet');
});
