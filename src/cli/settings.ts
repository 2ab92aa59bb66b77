import { createEnvironment, type Environment, type EnvironmentOptions } from '../index.js';

/** The environment variables that the command line reads; nothing else in qmplug reads any. */
export interface Settings {
  readonly stateDir: string | undefined;
  readonly runDir: string | undefined;
  readonly sysfsRoot: string | undefined;
  readonly procRoot: string | undefined;
  readonly devRoot: string | undefined;
  /** A pci.ids list to take instead of the host's. */
  readonly pciIds: string | undefined;
  /** Rules on who may have what, where no option names a file. */
  readonly policyFile: string | undefined;
}

/** An empty variable counts as unset. */
export function readSettings(env: Readonly<Record<string, string | undefined>>): Settings {
  const read = (name: string) => env[name] || undefined;
  return {
    stateDir: read('QMPLUG_STATE_DIR'),
    runDir: read('QMPLUG_RUN_DIR'),
    sysfsRoot: read('QMPLUG_SYSFS_ROOT'),
    procRoot: read('QMPLUG_PROC_ROOT'),
    devRoot: read('QMPLUG_DEV_ROOT'),
    pciIds: read('QMPLUG_PCI_IDS'),
    policyFile: read('QMPLUG_POLICY_FILE'),
  };
}

/** What a reboot does not end is not kept in /run. */
const DEFAULT_ANSWERS_DIR = '/var/lib/qmplug';

export function environmentOf(
  settings: Settings,
  { logger, onBoundary }: Pick<EnvironmentOptions, 'logger' | 'onBoundary'> = {},
): Environment {
  const { stateDir, runDir, sysfsRoot: sysfs, procRoot: proc, devRoot: dev } = settings;
  const answersDir = stateDir ?? DEFAULT_ANSWERS_DIR;
  const roots = { sysfs, proc, dev };
  return createEnvironment({ stateDir, runDir, answersDir, roots, logger, onBoundary });
}
