import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { systemClock } from '../../src/clock.js';
import { connectTransport } from '../../src/qmp/connect-transport.js';
import { openSession } from '../../src/qmp/connect.js';
import type { QmpTransport } from '../../src/qmp/transport.js';
import {
  compareTranscripts,
  createPlayer,
  formatEntry,
  formatHeader,
  parseTranscript,
  recordTransport,
  type TranscriptEntry,
  type TranscriptHeader,
} from '../../src/transcript/index.js';
import { readVmSnapshot, snapshotHash, type VmIdentity } from '../../src/vm/index.js';
import { rootPort, startQemu } from '../support/qemu.js';

const IDENTITY: VmIdentity = { kind: 'address', address: 'test' };

/** Looks at the VM, plugs a device in, sees it, has it removed by a reset, and looks again. */
async function session(transport: QmpTransport) {
  await using qmp = await openSession(transport);
  const deleted = new Promise<void>((resolve) => {
    qmp.onEvent(({ event, data }) => {
      if (event === 'DEVICE_DELETED' && data.device === 'd0') resolve();
    });
  });
  const before = await readVmSnapshot(qmp, IDENTITY);
  await qmp.execute('device_add', {
    driver: 'virtio-rng-pci',
    id: 'd0',
    bus: 'rp0',
    addr: '0x0',
  });
  const between = await readVmSnapshot(qmp, IDENTITY);
  await qmp.execute('device_del', { id: 'd0' });
  await qmp.execute('system_reset');
  await deleted;
  const after = await readVmSnapshot(qmp, IDENTITY);
  return [before, between, after].map((vm) => ({
    hash: snapshotHash(vm),
    occupants: vm.ports.map(({ occupants }) => occupants),
  }));
}

it('a recording of a real QEMU replays itself, and no altered one does', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'transcript-'));
  try {
    const file = join(directory, 'plug-and-reset.jsonl');
    await using qemu = await startQemu({
      paused: true,
      args: [...rootPort('rp0', 2), ...rootPort('rp1', 3)],
    });
    const header: TranscriptHeader = {
      qmplug: 1,
      qemu: '7.2.22',
      machine: 'q35',
      scenario: 'plug-and-reset',
      origin: 'recorded',
    };
    const lines = [formatHeader(header)];
    const transport = recordTransport(
      await connectTransport({ kind: 'unix', path: qemu.qmpPath }),
      {
        clock: systemClock,
        onEntry: (entry) => lines.push(formatEntry(entry)),
        onFault: (error) => lines.push(String(error)),
      },
    );
    const live = await session(transport);
    expect(live.map(({ occupants }) => occupants)).toEqual([
      [[], []],
      [['/machine/peripheral/d0'], []],
      [[], []],
    ]);
    await writeFile(file, lines.join(''));

    const transcript = parseTranscript(await readFile(file, 'utf8'), file);
    expect(transcript.entries.length).toBeGreaterThan(60);
    const player = createPlayer(transcript);
    const again: TranscriptEntry[] = [];
    const replayed = await session(
      recordTransport(player, { clock: systemClock, onEntry: (entry) => again.push(entry) }),
    );
    player.finish();
    expect(replayed).toEqual(live);
    const sent = (entries: readonly TranscriptEntry[]) => ({
      header,
      entries: entries.filter(({ dir }) => dir === 'out'),
    });
    expect(compareTranscripts(sent(transcript.entries), sent(again))).toBeUndefined();

    const altered = {
      ...transcript,
      entries: transcript.entries.map((entry) =>
        entry.msg.execute === 'device_add'
          ? { ...entry, msg: { ...entry.msg, arguments: { driver: 'virtio-rng-pci', id: 'd0' } } }
          : entry,
      ),
    };
    const stern = createPlayer(altered);
    await expect(session(stern)).rejects.toThrow();
    expect(stern.mismatch?.message).toContain(
      '  - arguments.bus: (absent)\n  + arguments.bus: "rp0"',
    );
  } finally {
    await rm(directory, { recursive: true });
  }
});
