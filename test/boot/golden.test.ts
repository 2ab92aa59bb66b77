import { readdirSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { bootPlanToJson, planBoot } from '../../src/boot/index.js';
import { QmplugError } from '../../src/errors.js';
import { readRequest, type GoldenRequest } from './golden-request.js';

interface Golden {
  readonly test: string;
  readonly request: GoldenRequest;
  readonly plan?: unknown;
  readonly refusal?: { readonly code: string; readonly message: string; readonly remedy: string };
}

const folder = new URL('golden/', import.meta.url);
const files = readdirSync(folder).filter((name) => name.endsWith('.json'));

it('has golden files', () => {
  expect(files.length).toBeGreaterThan(8);
});

it.each(files)('%s', (name) => {
  const golden = JSON.parse(readFileSync(new URL(name, folder), 'utf8')) as Golden;
  let outcome: Pick<Golden, 'plan' | 'refusal'>;
  try {
    outcome = { plan: bootPlanToJson(planBoot(readRequest(golden.request))) };
  } catch (error) {
    if (!(error instanceof QmplugError)) throw error;
    const { code, message, remedy = '' } = error;
    outcome = { refusal: { code, message, remedy } };
  }
  const { plan, refusal } = golden;
  expect(outcome).toEqual(plan === undefined ? { refusal } : { plan });
});
