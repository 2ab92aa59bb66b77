/** Remedies that several error texts share. */

export const BUG = 'this is a fault of qmplug: please report it with the request';
export const REREAD = 'read the topology again: the VM is not as it was';
export const OTHER_PORT = 'choose another port';
export const WAIT_MIGRATION = 'wait until the migration has ended';
