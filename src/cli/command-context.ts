import type { Command } from 'commander';
import type { Environment } from '../index.js';
import type { Output } from './output.js';
import type { Settings } from './settings.js';

/** What a command works with. */
export interface CommandContext {
  readonly environment: Environment;
  readonly settings: Settings;
  readonly output: Output;
  /** Stops the waiting. */
  readonly signal: AbortSignal;
}

/** The work of a command; resolves to its exit status. */
export type Work = (context: CommandContext) => Promise<number>;

export interface WorkOptions {
  /** An answer that never came leaves no state unknown. */
  readonly changesNothing?: boolean;
}

/** Runs the work of a command and keeps its exit status. */
export type RunWork = (work: Work, options?: WorkOptions) => Promise<void>;

/** Adds a command, with its arguments and options, to the program. */
export type DefineCommand = (program: Command, run: RunWork) => Command;
