import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { codeSpans, readDocuments, ROOT } from './documents.js';

const documents = readDocuments();

/** The members of the union `ErrorCode`. */
function errorCodes(): readonly string[] {
  const source = readFileSync(join(ROOT, 'src/errors.ts'), 'utf8');
  const union = /export type ErrorCode =(.*?);/s.exec(source)?.[1] ?? '';
  return [...union.matchAll(/'([A-Z_]+)'/g)].map(([, code = '']) => code);
}

/** What looks like a code of ours and is a name of somebody else's. */
const NAMES = new Set([
  'DEVICE_DELETED',
  'DEVICE_UNPLUG_GUEST_ERROR',
  'CAP_IPC_LOCK',
  'CAP_SYS_PTRACE',
  'CONFIG_IOMMUFD',
  'CONFIG_VFIO_GROUP',
  'SCM_RIGHTS',
]);
const isEnvironment = (name: string) => /^(QMPLUG|QEMU_MONITOR)_/.test(name);

it('documents every error code', () => {
  const pages = documents.filter(({ path }) => /docs\/(preflight|hotplug)\.md/.test(path));
  const documented = new Set(pages.flatMap(codeSpans));
  const codes = errorCodes();
  expect(codes.length).toBeGreaterThan(40);
  expect(codes.filter((code) => !documented.has(code))).toEqual([]);
});

it.each(documents)('$path names only error codes that exist', (document) => {
  const codes = new Set(errorCodes());
  const named = codeSpans(document).filter((span) => /^[A-Z]+(_[A-Z]+)+$/.test(span));
  const stray = named.filter((name) => !codes.has(name) && !NAMES.has(name));
  expect(stray.filter((name) => !isEnvironment(name))).toEqual([]);
});

it('names only environment variables that are read', () => {
  // What users set, and what those set who run the schedules and the machines of the lab.
  const readers = [
    'src/cli/settings.ts',
    'test/hotplug/schedules/shard.ts',
    'test/hotplug/schedules/run-schedule.ts',
    'scripts/lab/grub-host.mjs',
  ];
  const settings = readers.map((path) => readFileSync(join(ROOT, path), 'utf8')).join();
  const named = documents.flatMap(({ text }) => text.match(/\bQMPLUG_[A-Z_]+/g) ?? []);
  expect(named.filter((name) => !settings.includes(`'${name}'`))).toEqual([]);
});
