import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseTranscript, type Transcript } from '../../src/testing.js';
import type { Scenario } from './scenario.mjs';
import { SCENARIOS } from './scenarios.mjs';

const ROOT = join(import.meta.dirname, '../../fixtures/qmp-transcripts');

/** A file of `fixtures/qmp-transcripts`, named by its path in there. */
export interface Fixture {
  readonly path: string;
  readonly text: string;
  readonly transcript: Transcript;
  /** Undefined for a stranger, which a test reports. */
  readonly scenario: Scenario | undefined;
}

/** All transcripts, in order of their paths. */
export function readFixtures(): readonly Fixture[] {
  const files = readdirSync(ROOT, { recursive: true, encoding: 'utf8' });
  return files
    .filter((path) => path.endsWith('.jsonl'))
    .sort()
    .map((path) => {
      const text = readFileSync(join(ROOT, path), 'utf8');
      const transcript = parseTranscript(text, path);
      const scenario = SCENARIOS.find(({ name }) => path.endsWith(`/${name}.jsonl`));
      return { path, text, transcript, scenario };
    });
}

/** One in how many alterations is tried of a scenario's further recordings; a prime, to meet every kind. */
const SAMPLE = 11;

/**
 * The fixtures that belong to a scenario, with how many of their alterations to try: all of one recording of
 * each scenario, and one in `every` of its recordings on other versions, which differ in little.
 */
export function alterableFixtures() {
  const seen = new Set<Scenario>();
  return playableFixtures().map((fixture) => {
    const every = seen.has(fixture.scenario) ? SAMPLE : 1;
    seen.add(fixture.scenario);
    return { ...fixture, every };
  });
}

/** The fixtures that belong to a scenario. */
export function playableFixtures(): readonly (Fixture & { readonly scenario: Scenario })[] {
  return readFixtures().flatMap(({ scenario, ...fixture }) =>
    scenario === undefined ? [] : [{ ...fixture, scenario }],
  );
}
