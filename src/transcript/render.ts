import { isJsonObject, stringifyJson, type JsonValue } from '../json.js';
import { escapeControl, excerpt } from '../text.js';
import { describeMessage } from './compare.js';
import { lineOf, type Transcript, type TranscriptEntry } from './format.js';
import { pairReplies } from './pairing.js';

/** Characters of arguments and results that are shown of a message. */
const SHOWN_LENGTH = 100;

/**
 * A transcript for people: its header, then one line a message with the line of the file, the milliseconds,
 * the direction (`->` to QEMU), the id and what is said, abbreviated. Safe to print.
 */
export function renderTranscript({ header, entries }: Transcript): readonly string[] {
  const { scenario, machine, qemu, origin } = header;
  const { answers } = pairReplies(entries);
  const lineWidth = String(lineOf(entries.length)).length;
  const timeWidth = String(entries.at(-1)?.t ?? 0).length;
  return [
    escapeControl(`${scenario}: ${origin}, QEMU ${qemu}, ${machine}, ${entries.length} messages`),
    ...entries.map((entry, index) => {
      const place = String(lineOf(index)).padStart(lineWidth);
      const time = `${String(entry.t).padStart(timeWidth)} ms`;
      const command = entries[answers.get(index) ?? -1];
      return `${place}  ${time}  ${entry.dir === 'out' ? '->' : '<-'} ${describe(entry, command)}`;
    }),
  ];
}

function describe({ dir, fd, msg }: TranscriptEntry, command: TranscriptEntry | undefined): string {
  const id = msg.id === undefined ? '' : `${excerpt(stringifyJson(msg.id), 20)} `;
  if (dir === 'out') {
    const file = fd ? ' and a file descriptor' : '';
    return `${id}${describeMessage(msg)}${members(msg.arguments)}${file}`;
  }
  if (msg.QMP !== undefined) return `greeting ${shorten(msg.QMP)}`;
  if (msg.event !== undefined) return `${describeMessage(msg)}${members(msg.data)}`;
  const name = command === undefined ? '' : `${describeMessage(command.msg)}: `;
  if (msg.error === undefined) return `${id}${name}${shorten(msg.return ?? null)}`;
  return `${id}${name}error ${shorten(errorText(msg.error))}`;
}

/** `driver="pci-testdev" id="d0"` */
function members(value: JsonValue | undefined): string {
  if (!isJsonObject(value)) return '';
  const shown = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .map(([name, member]) => `${name}=${stringifyJson(member ?? null)}`);
  return shown.length === 0 ? '' : ` ${excerpt(shown.join(' '), SHOWN_LENGTH)}`;
}

function errorText(error: JsonValue): JsonValue {
  return isJsonObject(error) && typeof error.desc === 'string' ? error.desc : error;
}

const shorten = (value: JsonValue) => excerpt(stringifyJson(value), SHOWN_LENGTH);
