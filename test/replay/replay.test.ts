import { describe, expect, it } from 'vitest';
import { isJsonObject, type JsonValue } from '../../src/json.js';
import { playableFixtures, readFixtures } from './fixtures.js';
import { replay } from './replay.js';
import { SCENARIOS } from './scenarios.mjs';

const FIXTURES = readFixtures();

it('every scenario has its transcript, and every transcript its scenario', () => {
  const names = FIXTURES.map(({ transcript }) => transcript.header.scenario);
  expect([...new Set(names)].sort()).toEqual(SCENARIOS.map(({ name }) => name).sort());
});

it.each(FIXTURES)('$path is what its place says', ({ path, scenario: of, transcript }) => {
  const { qemu, machine, scenario, origin } = transcript.header;
  expect(path).toBe(`${qemu}/${machine}/${scenario}.jsonl`);
  expect(origin).toBe(of?.standIn === undefined ? 'recorded' : 'synthetic');
});

describe('planner and interpreter come to the same outcome as on the real QEMU', () => {
  it.each(playableFixtures())('$path: $scenario.shows', async ({ scenario, transcript }) =>
    replay(scenario, transcript),
  );
});

// Paths of QOM, the device of a scenario that no machine has, and those of the lab's host.
const HARMLESS =
  /^\/(machine|objects)(\/|$)|^\/sys\/bus\/(pci\/devices\/(ffe0:|0000:00:0[56]\.0$)|mdev\/devices\/11111111-)/;

/** What a property is for, in QEMU's own words: "on/off". */
const DESCRIPTION = /"description":"[^"]*"/g;

it.each(FIXTURES)('$path says nothing of the machine that recorded it', ({ text, transcript }) => {
  const paths = transcript.entries
    .flatMap(({ msg }) => textsIn(msg))
    .flatMap((value) => value.match(/\/[^\s'",]+/g) ?? []);
  expect(paths.filter((path) => !HARMLESS.test(path))).toEqual([]);
  expect(text.replaceAll(DESCRIPTION, '')).not.toMatch(/\.sock|"pid"|uuid/i);
});

function textsIn(value: JsonValue | undefined): readonly string[] {
  if (typeof value === 'string') return [value];
  if (Array.isArray(value)) return (value as readonly JsonValue[]).flatMap(textsIn);
  if (!isJsonObject(value)) return [];
  return Object.entries(value).flatMap(([name, member]) =>
    name === 'description' ? [] : textsIn(member),
  );
}
