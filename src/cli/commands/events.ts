import type { Command } from 'commander';
import {
  escapeControl,
  openVm,
  stringifyJson,
  watchVm,
  type JsonObject,
  type VmNews,
} from '../../index.js';
import type { CommandContext, RunWork } from '../command-context.js';
import { EXIT } from '../exit-status.js';
import { once, seconds } from '../option-values.js';
import { toJson } from '../to-json.js';
import { addVmOptions, type VmOptions } from '../vm-options.js';

interface EventsOptions extends VmOptions {
  readonly interval?: number;
  readonly reconnect?: true;
  readonly json?: true;
}

const DEFAULT_INTERVAL_MS = 2_000;
/** More often would be a burden for the VM: every look stops its main loop for a moment. */
const LEAST_INTERVAL_MS = 100;

const HELP = `
Examples:
  qmplug events /run/vm2.sock
  qmplug events /run/vm2.sock --json --reconnect

Give it a monitor of its own: QEMU serves one client per monitor, and this one stays. What QEMU tells is told as it
comes; a device that was added has no event in QEMU, so the VM is looked at from time to time. It ends with Ctrl-C, and
with the VM: after SHUTDOWN with status 0, otherwise with 3.

JSON: one line each: {"kind":"state","status":{...}}, {"kind":"event","event","data","timestampMs"},
{"kind":"attached","id","port","host"}, {"kind":"detached","id","port"}, {"kind":"removal","id","state"},
{"kind":"overflow","lostCount"}, {"kind":"ended","reason"}`;

export function defineEvents(program: Command, run: RunWork): Command {
  const command = program
    .command('events')
    .description('Tells what happens in a VM, as it happens. Changes nothing.')
    .argument('<vm>', 'a QMP monitor of the VM that nobody else uses')
    .option('--interval <s>', 'seconds between looks (default: 2)', once('--interval', seconds))
    .option('--reconnect', 'wait for the monitor when it is lost')
    .addHelpText('after', HELP);
  return addVmOptions(command).action((address: string, options: EventsOptions) =>
    run((context) => tellEvents(address, options, context), { changesNothing: true }),
  );
}

async function tellEvents(
  address: string,
  { interval = DEFAULT_INTERVAL_MS, reconnect, json, timeout, qemuPid }: EventsOptions,
  { environment, output, signal }: CommandContext,
): Promise<number> {
  await using vm = await openVm(address, {
    environment,
    qemuPid,
    connectTimeoutMs: timeout,
    signal,
  });
  const intervalMs = Math.max(interval, LEAST_INTERVAL_MS);
  const { clock } = environment;
  let shutDown = false;
  for await (const news of watchVm(vm, { clock, signal, intervalMs, reconnect })) {
    output.line(json ? stringifyJson(newsToJson(news)) : renderNews(news));
    shutDown = news.kind === 'event' && news.event.event === 'SHUTDOWN' ? true : shutDown;
    if (news.kind === 'ended' && !reconnect && !shutDown) {
      output.note('the monitor has closed: the VM has ended, or another client is to be served');
      return EXIT.refused;
    }
  }
  return EXIT.done;
}

function newsToJson(news: VmNews): JsonObject {
  switch (news.kind) {
    case 'event': {
      const { event, data, timestampMs = null } = news.event;
      return { kind: news.kind, event, data, timestampMs };
    }
    case 'ended':
      return { kind: news.kind, reason: news.reason?.message ?? null };
    default:
      // An object of plain members stays one.
      return toJson(news) as JsonObject;
  }
}

function renderNews(news: VmNews): string {
  switch (news.kind) {
    case 'state': {
      const { vm, ports } = news.status;
      const used = ports.filter(({ state }) => state !== 'free').length;
      const what = `${vm.machine}, QEMU ${vm.qemu}, ${vm.status}`;
      return escapeControl(`${what}: ${used} of ${ports.length} ports in use`);
    }
    case 'event': {
      const { event, data, timestampMs } = news.event;
      const time = timestampMs === undefined ? '' : `${new Date(timestampMs).toISOString()} `;
      return escapeControl(`${time}${event} ${stringifyJson(data)}`);
    }
    case 'attached': {
      const from = news.host === undefined ? '' : ` (${news.host})`;
      return escapeControl(`attached ${news.id}${from} in ${news.port}`);
    }
    case 'detached':
      return escapeControl(`detached ${news.id} from ${news.port}`);
    case 'removal':
      return escapeControl(`removal of ${news.id}: ${news.state}`);
    case 'overflow':
      return `${news.lostCount} events were lost: they came faster than they were read`;
    case 'ended':
      return escapeControl(`the session has ended: ${news.reason?.message ?? 'closed'}`);
  }
}
