import { COMMAND_DEADLINES_MS } from '../../../src/qmp/deadlines.js';
import type { QmpTransport } from '../../../src/qmp/transport.js';
import type { Defect } from './defect.js';
import { command, oneByOne } from './story.js';

const ID = /"id":\s*(\d+)/;

/** A reply that comes too late goes to whoever waits next. */
function byPosition(transport: QmpTransport, now: () => number): QmpTransport {
  const waiting: { readonly id: string; readonly givenUpAt: number }[] = [];
  let pending = '';
  return {
    ...transport,
    send: (data) => {
      for (const line of Buffer.from(data).toString().split('\n')) {
        const [, id] = ID.exec(line) ?? [];
        const deadlineMs = COMMAND_DEADLINES_MS['qom-list'];
        if (id !== undefined) waiting.push({ id, givenUpAt: now() + deadlineMs });
      }
      return transport.send(data);
    },
    start: ({ onData, onClose }) => {
      transport.start({
        onClose,
        onData: (data) => {
          pending += Buffer.from(data).toString();
          const lines = pending.split('\n');
          pending = lines.pop() ?? '';
          for (const line of lines) {
            const isReply = ID.test(line) && !line.includes('"event"');
            while (isReply && waiting.length > 1 && (waiting[0]?.givenUpAt ?? 0) < now()) {
              waiting.shift();
            }
            const taker = isReply ? waiting.shift() : undefined;
            const text = taker === undefined ? line : line.replace(ID, `"id": ${taker.id}`);
            onData(Buffer.from(`${text}\n`));
          }
        },
      });
    },
    close: () => {
      transport.close();
    },
  };
}

export const transportDefects: readonly Defect[] = [
  {
    name: 'a late reply is taken for the next one',
    caughtBy: 'true-answer',
    where: {
      guest: 'linux',
      faultCount: 3,
      faultChance: 0.1,
      faults: ['late-reply'],
      batches: oneByOne(
        command('attach', 'd0', { by: 'daemon' }),
        command('detach', 'd0', { by: 'daemon' }),
        command('status', 'd0', { by: 'daemon' }),
      ),
    },
    plant: () => ({
      transport: (transport, process) => byPosition(transport, () => process.clock.now()),
    }),
  },
];
