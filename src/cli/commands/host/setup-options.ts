import { readFileSync } from 'node:fs';
import { isAbsolute, resolve } from 'node:path';
import type { Command } from 'commander';
import {
  createSetupHost,
  parseDesiredState,
  type DesiredState,
  type SetupEnvironment,
} from '../../../host/setup/index.js';
import { createFileStore, createHostEffects, InputError } from '../../../index.js';
import type { CommandContext } from '../../command-context.js';
import { isDirectory } from '../../files.js';
import { absolutePath, once, text } from '../../option-values.js';
import { addJsonOption } from '../../vm-options.js';

/** Options of every command of host set-up. */
export interface SetupOptions {
  readonly root?: string;
  readonly stateDir?: string;
}

export function addSetupOptions(command: Command): Command {
  return addJsonOption(
    command
      .option(
        '--root <dir>',
        'the directory of an image instead of this machine',
        once('--root', text),
      )
      .option(
        '--state-dir <dir>',
        'where the journal is kept (default: /var/lib/qmplug)',
        once('--state-dir', absolutePath),
      ),
  );
}

const DEFAULT_STATE_DIR = '/var/lib/qmplug';

/** The environment of set-up: this machine's, or that of the system in `--root`. */
export function setupEnvironment(
  { environment, settings }: CommandContext,
  options: SetupOptions,
): SetupEnvironment {
  const root = options.root === undefined ? '/' : resolve(options.root);
  if (!isDirectory(root)) throw badRoot(root);
  const isMachine = root === '/';
  const stateDir =
    options.stateDir ?? settings.stateDir ?? `${isMachine ? '' : root}${DEFAULT_STATE_DIR}`;
  const { runtime, liveness, clock, onBoundary } = environment;
  return {
    host: createSetupHost({ root }),
    effects: isMachine
      ? environment.effects
      : createHostEffects({
          roots: {
            sysfs: settings.sysfsRoot ?? `${root}/sys`,
            proc: settings.procRoot ?? `${root}/proc`,
            dev: settings.devRoot ?? `${root}/dev`,
          },
        }),
    // Beside the run-time journal of the same directory, and of a machine apart from an image's.
    state: createFileStore(`${stateDir}/${isMachine ? 'setup' : 'image'}`, { durable: true }),
    runtime,
    liveness,
    clock,
    onBoundary,
  };
}

function badRoot(root: string): InputError {
  return new InputError('BAD_ARGUMENT', `--root: ${JSON.stringify(root)} is no directory`, {
    remedy: 'name the directory where the image is mounted',
  });
}

/** @throws {InputError} where the file cannot be read or is no desired state. */
export function readDesiredFile(path: string): DesiredState {
  let source: string;
  try {
    source = readFileSync(path === '-' ? 0 : path, 'utf8');
  } catch (cause) {
    const shown = isAbsolute(path) ? path : resolve(path);
    throw new InputError('BAD_ARGUMENT', `${shown} cannot be read`, {
      cause,
      remedy: 'name a file with the desired state, or - for the standard input',
    });
  }
  return parseDesiredState(source);
}
