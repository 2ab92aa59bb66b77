import { expect, it } from 'vitest';
import { renderExamined } from '../../src/cli/commands/host/render-setup.js';
import { examineDesired } from '../../src/doctor/index.js';
import { parseDesiredState } from '../../src/host/setup/index.js';
import { createMemoryStore } from '../support/memory-store.js';
import { DEVICE, Patient, SELF, type Change } from './patient.js';

const TWIN = '0000:5e:00.0';

/** A screen of the host, its sound in the same group, and a twin that is not meant. */
const DESKTOP: Change = {
  device: { driver: 'nouveau', class: '0x030000', bootVga: true },
  tree(tree) {
    const [vendor, device] = ['0x10de', '0x2330'];
    tree.addFunction('0000:3b:00.1', { class: '0x040300', group: 17, driver: 'snd_hda_intel' });
    tree.addFunction(TWIN, { vendor, device, class: '0x030000', group: 18, driver: 'nouveau' });
    tree.addChild(DEVICE, 'drm/card0');
  },
};

function examine(patient: Patient, desired: unknown) {
  return examineDesired({
    effects: patient.effects,
    setup: patient.setup,
    state: createMemoryStore(),
    runtime: createMemoryStore(),
    selfPid: SELF,
    desired: parseDesiredState(JSON.stringify(desired)),
  });
}

it('tells of the group, the twin and the screen of a device that is to be bound early', async () => {
  using patient = new Patient(DESKTOP);
  const found = (await examine(patient, { early: [DEVICE] })).map(({ id, device }) => [id, device]);
  for (const id of ['dev.group_viable', 'dev.dup_ids', 'dev.boot_vga']) {
    expect(found).toContainEqual([id, DEVICE]);
  }
  expect(found.every(([, device]) => device === undefined || device === DEVICE)).toBe(true);
});

it('asks nothing of devices that are not to be bound, or that the plan refuses to choose', async () => {
  using patient = new Patient(DESKTOP);
  const none = await examine(patient, { early: [{ device: DEVICE, method: 'none' }] });
  const several = await examine(patient, { early: ['id:10de:2330'] });
  expect([...none, ...several].filter(({ device }) => device !== undefined)).toEqual([]);
});

it('tells of a device that is not there', async () => {
  using patient = new Patient();
  expect(await examine(patient, { early: ['0000:99:00.0'] })).toMatchObject([
    { id: 'dev.exists', verdict: 'fail' },
  ]);
});

it('has nothing to tell of a host on which all is well', async () => {
  using patient = new Patient();
  expect(await examine(patient, { iommu: { mode: 'on' } })).toEqual([]);
});

it('is told with what is wrong no longer', async () => {
  using patient = new Patient(DESKTOP);
  const before = await examine(patient, { early: [DEVICE] });
  const after = before.filter(({ id }) => id === 'dev.dup_ids');
  expect(after).toHaveLength(1);
  const text = renderExamined({ before, after }).join('\n');
  expect(text).toContain(`the doctor finds no longer:`);
  expect(text).toMatch(new RegExp(`no longer: .*dev.group_viable ${DEVICE}`));
  expect(text).toMatch(new RegExp(`warn +dev.dup_ids ${DEVICE}`));
  expect(renderExamined({ before: [], after: [] })).toEqual([]);
});
