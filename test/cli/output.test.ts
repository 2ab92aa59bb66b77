import { describe, expect, it } from 'vitest';
import { createOutput } from '../../src/cli/output.js';
import { toJson } from '../../src/cli/to-json.js';
import {
  ConnectError,
  InputError,
  RollbackError,
  StepError,
  type StepReport,
} from '../../src/index.js';

function capture(json: boolean, isTTY = false) {
  const written = { stdout: '', stderr: '' };
  const output = createOutput(json, {
    stdout: { write: (text) => (written.stdout += text) },
    stderr: { write: (text) => (written.stderr += text), isTTY },
  });
  return { output, written };
}

const STEPS: readonly StepReport[] = [
  { kind: 'ReserveGroup', outcome: 'undone', ms: 1 },
  { kind: 'BindDriver', outcome: 'undone', ms: 2.00049 },
  { kind: 'AddDevice', outcome: 'failed', ms: 3 },
];

describe('with --json', () => {
  it('prints a result as one line on stdout and nothing else', () => {
    const { output, written } = capture(true);
    output.result({ a: [1, 2n ** 60n] }, () => 'text');
    expect(written).toEqual({ stdout: '{"a":[1,1152921504606846976]}\n', stderr: '' });
  });

  it('prints an error with its code, remedy, details and what was undone', () => {
    const { output, written } = capture(true);
    const error = new StepError('STEP_FAILED', 'AddDevice failed', {
      remedy: 'mend it',
      details: { bdf: '0000:3b:00.0', base: 0x1000n, sizeBytes: 2n ** 53n, nothing: undefined },
      steps: STEPS,
    });
    output.error(error);
    expect(written.stdout.endsWith('\n')).toBe(true);
    expect(JSON.parse(written.stdout)).toEqual({
      error: {
        code: 'STEP_FAILED',
        message: 'AddDevice failed',
        remedy: 'mend it',
        details: {
          bdf: '0000:3b:00.0',
          base: '0x1000',
          sizeBytes: '9007199254740992',
          nothing: null,
          steps: [
            { kind: 'ReserveGroup', outcome: 'undone', ms: 1 },
            { kind: 'BindDriver', outcome: 'undone', ms: 2 },
            { kind: 'AddDevice', outcome: 'failed', ms: 3 },
          ],
        },
        undone: ['ReserveGroup', 'BindDriver'],
      },
    });
    expect(written.stderr).toContain('AddDevice failed');
  });

  it('keeps notes and progress off stdout', () => {
    const { output, written } = capture(true, true);
    output.note('a note');
    output.progress('a step');
    expect(written.stdout).toBe('');
    expect(written.stderr).toContain('a note');
  });

  it('tells failed undos beside the first failure', () => {
    const { output, written } = capture(true);
    output.error(new RollbackError('first', { undoFailures: [new Error('second')], steps: STEPS }));
    expect(JSON.parse(written.stdout)).toMatchObject({
      error: { code: 'ROLLBACK_FAILED', message: 'first', details: { undoFailures: ['second'] } },
    });
  });
});

describe('without --json', () => {
  it('prints the text of a result, ended by one newline', () => {
    const { output, written } = capture(false);
    output.result({}, () => 'one line');
    output.result({}, () => 'ended\n');
    expect(written.stdout).toBe('one line\nended\n');
  });

  it('prints message, code, causes, what was undone and the remedy on stderr alone', () => {
    const { output, written } = capture(false);
    const cause = new Error('connect ENOENT');
    output.error(new ConnectError('CONNECT_FAILED', 'no socket', { cause, remedy: 'start it' }));
    output.error(new StepError('STEP_FAILED', 'failed', { steps: STEPS }));
    expect(written.stdout).toBe('');
    expect(written.stderr.split('\n')).toEqual([
      'qmplug: no socket [CONNECT_FAILED]',
      '  because: connect ENOENT',
      '  start it',
      'qmplug: failed [STEP_FAILED]',
      '  undone: ReserveGroup, BindDriver',
      '',
    ]);
  });

  it('does not repeat a cause that the message holds already', () => {
    const { output, written } = capture(false);
    output.error(new InputError('SYNTAX', 'bad: inner', { cause: new Error('inner') }));
    expect(written.stderr).toBe('qmplug: bad: inner [SYNTAX]\n');
  });

  it('shows the stack of what nobody foresaw', () => {
    const { output, written } = capture(false);
    output.error(new TypeError('oops'));
    expect(written.stderr).toMatch(/^qmplug: oops \[UNEXPECTED\]\n.*TypeError: oops\n {4}at /s);
  });

  it('makes foreign text harmless', () => {
    const { output, written } = capture(false);
    output.error(new InputError('BAD_ID', 'id \u001b[31m\n\u202e', { remedy: 'a\u0007' }));
    expect(written.stderr).toBe('qmplug: id \\x1b[31m\\x0a\\u202e [BAD_ID]\n  a\\x07\n');
  });
});

describe('colour and progress', () => {
  it('are for a terminal', () => {
    const { output, written } = capture(false, true);
    output.progress('BindDriver');
    output.error(new InputError('BAD_ID', 'bad'));
    expect(written.stderr).toBe(
      '\u001b[2mBindDriver\u001b[22m\n\u001b[31mqmplug: bad [BAD_ID]\u001b[39m\n',
    );
  });

  it('stay away from a file', () => {
    const { output, written } = capture(false, false);
    output.progress('BindDriver');
    output.error(new InputError('BAD_ID', 'bad'));
    expect(written.stderr).toBe('qmplug: bad [BAD_ID]\n');
  });
});

describe('toJson', () => {
  it('prints sizes as integers up to 2^53 - 1, above as text, and addresses as hex', () => {
    expect(toJson({ sizeBytes: 2n ** 53n - 1n, more: 2n ** 53n, address: 0xfe00n })).toEqual({
      sizeBytes: 9007199254740991,
      more: '9007199254740992',
      address: '0xfe00',
    });
  });

  it('has null for what has no value, and takes maps, sets, errors and nested lists', () => {
    expect(
      toJson({
        gone: undefined,
        nan: NaN,
        map: new Map([['base', 16n]]),
        set: new Set([1n]),
        error: new Error('why'),
        list: [{ limit: 255n }],
      }),
    ).toEqual({
      gone: null,
      nan: null,
      map: { base: '0x10' },
      set: [1],
      error: 'why',
      list: [{ limit: '0xff' }],
    });
  });
});
