import { parseCommandLine } from '../command-line.js';
import { runOrFail } from '../handlers/programs.js';
import type { CommandBackend } from './backend.js';

const LOOK = ['rpm-ostree', 'kargs'] as const;

/**
 * Fedora's image systems. Each call makes a new deployment, so that all changes go into one. It does not track
 * who added an argument: our journal does.
 */
export const rpmOstree: CommandBackend = {
  kind: 'command',
  name: 'rpm-ostree',
  imageManaged: true,
  canMerge: true,
  look: LOOK,
  async detect(host) {
    return (
      (await host.exists('/run/ostree-booted')) &&
      (await host.findProgram('rpm-ostree')) !== undefined
    );
  },
  async read(host) {
    return { words: parseCommandLine(await runOrFail(host, LOOK)) };
  },
  commands(changes) {
    // Without quotes around the value: no shell takes them off, and an argument with quotes matches nothing.
    const options = changes.map((change) => {
      switch (change.op) {
        case 'add':
          return `--append-if-missing=${change.text}`;
        case 'remove':
          return `--delete-if-present=${change.text}`;
        case 'replace':
          return `--replace=${change.old}=${change.text.slice(change.text.indexOf('=') + 1)}`;
      }
    });
    return [['rpm-ostree', 'kargs', ...options]];
  },
};
