import type { Random } from './random.js';
import type { Trace } from './trace.js';

/** Where a fault can strike, and which ones can strike there. */
export const FAULTS = {
  /** A client connects to a monitor. */
  connect: ['connect-refused', 'no-greeting'],
  /** The client hands a command to the socket. */
  send: ['disconnect-before-send', 'disconnect-after-send'],
  /** QEMU is about to run a command. */
  run: ['late-run', 'vm-killed-before-run'],
  /** QEMU ran a command and is about to answer. */
  reply: [
    'disconnect-after-run',
    'late-reply',
    'truncated-reply',
    'event-before-reply',
    'unknown-reply',
    'foreign-event',
    'disconnect-after-reply',
    'vm-killed-after-run',
  ],
  /** QEMU is about to send an event to one monitor. */
  event: ['drop-event', 'delay-event', 'duplicate-event'],
  /** The guest has just taken a hot-added device. */
  guest: ['guest-ejects'],
  /** QEMU opens a VFIO device. */
  'vfio-open': ['open-busy', 'open-gone'],
  /** QEMU gives a VFIO device back. */
  'vfio-release': ['slow-release'],
  /** A process reads a file of the host. */
  read: ['read-fails'],
  /** A process writes to the host. */
  write: ['write-fails', 'write-hangs', 'device-vanishes'],
  /** A process changes its state store. */
  store: ['store-fails', 'torn-append'],
  /** Any operation of a process. */
  step: ['killed-before', 'killed-after'],
} as const;

export type FaultPoint = keyof typeof FAULTS;
export type FaultName = (typeof FAULTS)[FaultPoint][number];
/** The faults that can strike at `P`. */
export type FaultAt<P extends FaultPoint> = (typeof FAULTS)[P][number];

/** What is known of the place; rules match on any of it. */
export interface FaultSite {
  readonly vm?: string | undefined;
  /** QMP command name. */
  readonly command?: string | undefined;
  /** QMP event name. */
  readonly event?: string | undefined;
  /** qdev id. */
  readonly device?: string | undefined;
  /** Host path of a read or write. */
  readonly path?: string | undefined;
  readonly process?: string | undefined;
  /** `read`, `write`, `send` ...: the kind of a process's operation. */
  readonly operation?: string | undefined;
}

/** One fault on demand. */
export interface FaultRule {
  readonly fault: FaultName;
  /** All given members must match; a string matches exactly. */
  readonly at?: { readonly [K in keyof FaultSite]?: string | RegExp };
  /** How many matching occasions pass unharmed first; default 0. */
  readonly skip?: number;
  /** How often it strikes; default once. */
  readonly times?: number;
  /** For the faults that are about lateness, in ms. */
  readonly delayMs?: number;
  /** For `read-fails` and `write-fails`; default `EIO`. */
  readonly errno?: string;
}

/** Faults by chance, from the seed. */
export interface RandomFaults {
  /** Chance at each occasion, 0-1. */
  readonly probability: number;
  /** Only these; all when not given. */
  readonly only?: readonly FaultName[];
  /** How many may strike in one run; default no limit. */
  readonly limit?: number;
  /** How late what is late comes, in ms; beyond every default deadline where not given. */
  readonly lateMs?: readonly [low: number, high: number];
}

export interface FaultConfig {
  readonly rules?: readonly FaultRule[];
  readonly random?: RandomFaults;
}

/** A fault that strikes now. */
export interface Fault<P extends FaultPoint = FaultPoint> {
  readonly name: FaultAt<P>;
  readonly delayMs: number;
  readonly errno: string;
}

/** Beyond every default deadline, so that "late" is late for everybody. */
const DEFAULT_DELAY_MS = 700_000;
/** An event is late in another sense: after the replies that followed it. */
const DEFAULT_EVENT_DELAY_MS = 400;

/** Decides at every occasion whether something goes wrong, and writes down what did. */
export class Faults {
  readonly #random: Random;
  readonly #trace: Trace;
  #rules: { readonly rule: FaultRule; seen: number }[] = [];
  #chance: RandomFaults | undefined;
  #struckByChance = 0;
  readonly #struck: string[] = [];

  constructor(config: FaultConfig, random: Random, trace: Trace) {
    this.#random = random;
    this.#trace = trace;
    this.#chance = config.random;
    for (const rule of config.rules ?? []) this.add(rule);
  }

  add(rule: FaultRule): void {
    this.#rules.push({ rule, seen: 0 });
  }

  /** No fault strikes any more: for the part of a test that looks at what is left. */
  stop(): void {
    this.#rules = [];
    this.#chance = undefined;
  }

  /** Names of the faults that struck, in order. */
  get struck(): readonly string[] {
    return this.#struck;
  }

  /** The fault that strikes here and now, if any. */
  draw<P extends FaultPoint>(point: P, site: FaultSite): Fault<P> | undefined {
    const here: readonly FaultName[] = FAULTS[point];
    const rule = this.#matchingRule(here, site);
    const name = rule?.fault ?? this.#byChance(here);
    if (name === undefined) return undefined;
    this.#struck.push(name);
    this.#trace.add('fault', `${name} ${describe(site)}`);
    return {
      // `here` holds the names of this point and no others.
      name: name,
      delayMs: rule?.delayMs ?? this.#lateness(point),
      errno: rule?.errno ?? 'EIO',
    };
  }

  #lateness(point: FaultPoint): number {
    if (point === 'event') return DEFAULT_EVENT_DELAY_MS;
    const range = this.#chance?.lateMs;
    return range === undefined ? DEFAULT_DELAY_MS : this.#random.integer(...range);
  }

  #matchingRule(here: readonly FaultName[], site: FaultSite): FaultRule | undefined {
    for (const entry of this.#rules) {
      const { rule } = entry;
      if (!here.includes(rule.fault) || !matches(rule, site)) continue;
      const place = entry.seen++ - (rule.skip ?? 0);
      if (place >= 0 && place < (rule.times ?? 1)) return rule;
    }
    return undefined;
  }

  #byChance(here: readonly FaultName[]): FaultName | undefined {
    const chance = this.#chance;
    if (chance === undefined || this.#struckByChance >= (chance.limit ?? Infinity)) {
      return undefined;
    }
    const candidates = here.filter((name) => chance.only?.includes(name) ?? true);
    if (candidates.length === 0 || !this.#random.chance(chance.probability)) return undefined;
    this.#struckByChance++;
    return this.#random.pick(candidates);
  }
}

function matches(rule: FaultRule, site: FaultSite): boolean {
  return Object.entries(rule.at ?? {}).every(([key, wanted]) => {
    const found = site[key as keyof FaultSite];
    if (found === undefined) return false;
    return typeof wanted === 'string' ? wanted === found : wanted.test(found);
  });
}

function describe(site: FaultSite): string {
  return Object.entries(site)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key}=${String(value)}`)
    .join(' ');
}
