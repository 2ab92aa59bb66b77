import type { CompareOp, Expression, FieldTest, Term } from './expression.js';
import { FLAGS, numberOf, specOf } from './fields.js';
import { formatShort } from './format-short.js';
import { compileGlob } from './glob.js';
import { parseShort } from './parse-short.js';
import { compileRegex } from './regex.js';
import { readField, type FieldReading } from './read-field.js';
import type { Candidate, CandidateSet } from './candidate.js';

/** `unknown` is neither: it matches no term and no term's negation. */
export type Truth = 'yes' | 'no' | 'unknown';

/** Why a candidate was not chosen by a term. */
export interface TermFailure {
  /** The term in short form. */
  readonly term: string;
  readonly truth: 'no' | 'unknown';
  /** What the field is, or why it is unknown. */
  readonly actual: string;
}

export interface Verdict {
  readonly truth: Truth;
  /** Terms of the topmost conjunction that hold, in short form. */
  readonly matched: readonly string[];
  /** Those that do not, in order. */
  readonly failed: readonly TermFailure[];
}

/** An expression made ready to be asked many times. */
export interface Matcher {
  judge(candidate: Candidate, set: CandidateSet): Verdict;
}

type Judge = (candidate: Candidate, set: CandidateSet) => Truth;

interface Part {
  readonly term: string;
  readonly judge: Judge;
  /** The fields whose values explain the answer. */
  readonly fields: readonly string[];
}

/** Compiles every pattern of an expression once. */
export function compileMatcher(expression: Expression): Matcher {
  const children = expression.kind === 'and' ? expression.of : [expression];
  const parts = children.map((child): Part => ({
    term: formatShort(child),
    judge: compile(child),
    fields: fieldsOf(child),
  }));
  return {
    judge(candidate, set) {
      const matched: string[] = [];
      const failed: TermFailure[] = [];
      for (const { term, judge, fields } of parts) {
        const truth = judge(candidate, set);
        if (truth === 'yes') matched.push(term);
        else failed.push({ term, truth, actual: describe(fields, candidate, set) });
      }
      return { truth: conjunction(failed.map(({ truth }) => truth)), matched, failed };
    },
  };
}

/** Fields that an expression asks about, each once. */
export function fieldsOf(expression: Expression): readonly string[] {
  switch (expression.kind) {
    case 'and':
    case 'or':
      return [...new Set(expression.of.flatMap(fieldsOf))];
    case 'not':
      return fieldsOf(expression.of);
    case 'pf-of':
      return [...new Set(['sriov', ...fieldsOf(expression.of)])];
    case 'flag':
      return fieldsOf(parseShort(FLAGS[expression.flag]));
    default:
      return [expression.field];
  }
}

function compile(expression: Expression): Judge {
  switch (expression.kind) {
    case 'and': {
      const parts = expression.of.map(compile);
      return (candidate, set) => conjunction(parts.map((judge) => judge(candidate, set)));
    }
    case 'or': {
      const parts = expression.of.map(compile);
      return (candidate, set) =>
        negate(conjunction(parts.map((judge) => negate(judge(candidate, set)))));
    }
    case 'not': {
      const inner = compile(expression.of);
      return (candidate, set) => negate(inner(candidate, set));
    }
    default:
      return compileTerm(expression);
  }
}

function compileTerm(term: Term): Judge {
  switch (term.kind) {
    case 'flag':
      return compile(flagExpression(term.flag));
    case 'has':
      return (candidate, set) => {
        const { state } = readField(term.field, candidate, set);
        return state === 'present' ? 'yes' : state === 'absent' ? 'no' : 'unknown';
      };
    case 'pf-of': {
      const inner = compile(term.of);
      return (candidate, set) => judgePhysfn(candidate, set, inner);
    }
    case 'compare': {
      const spec = specOf(term.field);
      const wanted = spec === undefined ? undefined : numberOf(spec, term.operand);
      return (candidate, set) => compare(readField(term.field, candidate, set), term.op, wanted);
    }
    case 'values': {
      const tests = term.tests.map(({ negated, test }) => ({
        negated,
        judge: compileTest(term.field, test),
      }));
      return (candidate, set) => judgeValues(tests, readField(term.field, candidate, set));
    }
  }
}

const flagExpression = (flag: keyof typeof FLAGS): Expression => parseShort(FLAGS[flag]);

function judgePhysfn(candidate: Candidate, set: CandidateSet, inner: Judge): Truth {
  if (candidate.kind === 'mdev') return 'no';
  const { sriov } = candidate.record;
  if (!sriov.known) return 'unknown';
  const { physfn } = sriov.value;
  if (physfn === undefined) return 'no';
  const record = set.records.get(physfn);
  return record === undefined ? 'unknown' : inner({ kind: 'pci', name: physfn, record }, set);
}

interface CompiledTest {
  readonly negated: boolean;
  readonly judge: (reading: FieldReading) => Truth;
}

function judgeValues(tests: readonly CompiledTest[], reading: FieldReading): Truth {
  const answers = (negated: boolean) =>
    tests.filter((test) => test.negated === negated).map(({ judge }) => judge(reading));
  const wanted = answers(false);
  const isWanted = wanted.length === 0 ? 'yes' : negate(conjunction(wanted.map(negate)));
  return conjunction([isWanted, ...answers(true).map(negate)]);
}

/** What only a name can match, as no id is spelled so. */
const isNameTest = (test: FieldTest) =>
  test.kind === 'regex' ||
  (test.kind === 'glob' && /[^0-9a-f*?[\]!-]/.test(test.pattern)) ||
  (test.kind === 'text' && !/^[0-9a-f]{4}$/.test(test.text));

function compileTest(field: string, test: FieldTest): CompiledTest['judge'] {
  const matches = compileCertain(field, test);
  const needsName = isNameTest(test);
  return (reading) => {
    if (matches(reading)) return 'yes';
    const isOpen =
      reading.state === 'unknown' ||
      (reading.state === 'present' && reading.nameless !== undefined && needsName);
    return isOpen ? 'unknown' : 'no';
  };
}

/** Whether what is certain of the field matches. */
function compileCertain(field: string, test: FieldTest): (reading: FieldReading) => boolean {
  switch (test.kind) {
    case 'text': {
      const wanted = test.text.toLowerCase();
      return (reading) =>
        reading.state === 'absent' ? reading.word === wanted : reading.texts.includes(wanted);
    }
    case 'glob':
      return anyText(compileGlob(test.pattern));
    case 'regex':
      return anyText(compileRegex(test.source));
    case 'range': {
      const spec = specOf(field);
      const [from, to] = [test.from, test.to].map((end) =>
        spec === undefined ? undefined : numberOf(spec, end),
      );
      return (reading) =>
        compare(reading, '>=', from) === 'yes' && compare(reading, '<=', to) === 'yes';
    }
  }
}

const anyText = (matches: (text: string) => boolean) => (reading: FieldReading) =>
  reading.state !== 'absent' && reading.texts.some(matches);

function compare(reading: FieldReading, op: CompareOp, wanted: number | undefined): Truth {
  if (reading.state === 'unknown') return 'unknown';
  if (reading.state === 'absent' || wanted === undefined) return 'no';
  return reading.numbers.some((number) => holds(number, op, wanted)) ? 'yes' : 'no';
}

function holds(number: number, op: CompareOp, wanted: number): boolean {
  switch (op) {
    case '>':
      return number > wanted;
    case '>=':
      return number >= wanted;
    case '<':
      return number < wanted;
    case '<=':
      return number <= wanted;
    case '=':
      return number === wanted;
  }
}

/** No where any is no, unknown where any is unknown, else yes (Kleene). */
function conjunction(truths: readonly Truth[]): Truth {
  if (truths.includes('no')) return 'no';
  return truths.includes('unknown') ? 'unknown' : 'yes';
}

function negate(truth: Truth): Truth {
  if (truth === 'unknown') return 'unknown';
  return truth === 'yes' ? 'no' : 'yes';
}

function describe(fields: readonly string[], candidate: Candidate, set: CandidateSet): string {
  return fields.map((field) => `${field}=${shown(readField(field, candidate, set))}`).join(' ');
}

function shown(reading: FieldReading): string {
  switch (reading.state) {
    case 'present': {
      const why = reading.nameless === undefined ? '' : ` (${reading.nameless})`;
      return reading.texts.slice(0, 4).join(',') + why;
    }
    case 'absent':
      return reading.word ?? 'none';
    case 'unknown':
      return `unknown (${reading.reason})`;
  }
}
