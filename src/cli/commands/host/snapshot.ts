import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import {
  readCandidates,
  readHostSnapshot,
  recordReads,
  RefusedError,
  scrubReads,
  type Environment,
  type RecordedRead,
} from '../../../index.js';
import type { RunWork } from '../../command-context.js';
import { EXIT } from '../../exit-status.js';
import { checkNewFile } from '../../files.js';
import { toJson } from '../../to-json.js';
import { findMissing } from '../../vfio-needs.js';
import { addJsonOption } from '../../vm-options.js';
import { writeTree } from '../../write-tree.js';

interface SnapshotOptions {
  readonly scrub: boolean;
  readonly deep?: true;
  readonly uses?: true;
}

const HELP = `
Examples:
  qmplug host snapshot /tmp/host
  qmplug host snapshot /tmp/host.tar.gz
  QMPLUG_SYSFS_ROOT=/tmp/host/sys QMPLUG_PROC_ROOT=/tmp/host/proc QMPLUG_DEV_ROOT=/tmp/host/dev qmplug devices

Serial numbers, MAC addresses and the boot id are replaced; --no-scrub keeps them. Processes, mounts, open files and
network connections are not in it; --uses takes them along as they are, with names and addresses.

JSON: {"file","files","scrubbed","unreadable":[{"path","errno"}]}`;

export function defineHostSnapshot(host: Command, run: RunWork): Command {
  const command = host
    .command('snapshot')
    .description('Packs what is read of the host into a tree that can stand in for it.')
    .argument('<file>', 'a new directory, or an archive: .tar, .tar.gz, .tgz')
    .option('--no-scrub', 'keep serial numbers, MAC addresses and the boot id')
    .option('--deep', 'read also what wakes a sleeping device')
    .option('--uses', 'take along how the host uses its devices, unscrubbed')
    .addHelpText('after', HELP);
  return addJsonOption(command).action((file: string, options: SnapshotOptions) =>
    run(async ({ environment, output }) => {
      const target = resolve(file);
      checkNewFile(target, 'file');
      const seen = await readHost(environment, options);
      const reads = options.scrub ? scrubReads(seen) : seen;
      const unreadable = [...reads].flatMap(([path, read]) =>
        read.kind === 'unreadable' ? [{ path, errno: read.errno }] : [],
      );
      const manifest = { qmplugSnapshot: 1, scrubbed: options.scrub, unreadable };
      write(target, reads, manifest);
      const document = { file: target, files: reads.size, scrubbed: options.scrub, unreadable };
      output.result(toJson(document), () =>
        [
          `${target}: ${reads.size} files, ${options.scrub ? 'scrubbed' : 'with serial numbers and addresses'}`,
          ...unreadable.map(({ path, errno }) => `  not read: ${path} (${errno})`),
        ].join('\n'),
      );
      return EXIT.done;
    }),
  );
}

/** Reads all that `devices` reads. */
async function readHost(
  { effects, runtime }: Environment,
  { deep, uses }: SnapshotOptions,
): Promise<ReadonlyMap<string, RecordedRead>> {
  const recording = recordReads(effects);
  const fields = new Set(deep ? ['serial'] : []);
  const { candidates } = await readCandidates({ effects: recording, runtime }, fields);
  const asked = uses ? candidates.flatMap((each) => (each.kind === 'pci' ? each.name : [])) : [];
  await readHostSnapshot(recording, { uses: asked });
  await findMissing(recording);
  return recording.reads;
}

function write(target: string, reads: ReadonlyMap<string, RecordedRead>, manifest: object): void {
  const isArchive = /\.(?:tar|tar\.gz|tgz)$/.test(target);
  const directory = isArchive ? mkdtempSync(join(tmpdir(), 'qmplug-snapshot-')) : target;
  try {
    writeTree(directory, reads);
    writeFileSync(join(directory, 'snapshot.json'), `${JSON.stringify(manifest, null, 2)}\n`);
    if (isArchive) {
      const how = target.endsWith('.tar') ? '-cf' : '-czf';
      execFileSync('tar', ['-C', directory, how, target, '.'], {
        stdio: ['ignore', 'ignore', 'pipe'],
      });
    }
  } catch (cause) {
    throw new RefusedError('DENIED', `${target} cannot be written`, {
      cause,
      remedy: 'name a place that you may write to',
      details: { file: target },
    });
  } finally {
    if (isArchive) rmSync(directory, { recursive: true, force: true });
  }
}
