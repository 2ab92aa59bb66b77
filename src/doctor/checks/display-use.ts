import { listProcesses, readCommand } from '../../host/process.js';
import { exists } from '../../host/reading.js';
import type { UseFinding } from '../../host/types.js';
import type { DeviceCheck } from '../check.js';
import { fail, ok, seen, skip, unknownAnswer, warn } from '../finding.js';

const unreadable = (uses: readonly UseFinding[], ...subjects: readonly string[]) =>
  uses.find(({ reason }) => subjects.some((subject) => reason === `unreadable.${subject}`));

export const drmUse: DeviceCheck = {
  id: 'dev.in_use.drm',
  about: 'whether it draws a screen of the host: displays, consoles, open nodes below `/dev/dri`',
  needs: 'device',
  needsRoot: true,
  async run({ bdf, uses, record: { children } }) {
    const all = await uses();
    const found = all.filter(
      ({ reason, evidence }) =>
        ['in-use.display', 'in-use.console'].includes(reason) ||
        (reason === 'in-use.open' && evidence.startsWith('/dev/dri/')),
    );
    const read = found.map(({ evidence }) => seen(bdf, evidence));
    const blocking = found.find(({ level }) => level === 'block');
    if (blocking !== undefined) return fail(blocking.evidence, blocking.remedy, ...read);
    const blind = unreadable(all, 'display', 'console', 'files');
    if (blind !== undefined) return unknownAnswer(blind.evidence, blind.remedy, ...read);
    const [first] = found;
    if (first !== undefined) return warn(first.evidence, first.remedy, ...read);
    if (!children.known) return unknownAnswer(children.reason);
    const cards = children.value['drm'] ?? [];
    return cards.length === 0
      ? ok('no', seen(bdf, 'no card of DRM'))
      : warn(
          `${cards.join(', ')} is a display of the host that nobody uses`,
          `qmplug host bind ${bdf}; or leave it to attach`,
          seen(bdf, cards.join(', ')),
        );
  },
};

/** Names of processes are cut after 15 characters (proc_pid_comm(5)). */
const DAEMONS = ['nvidia-persiste', 'nvidia-powerd'];

export const nvidiaUse: DeviceCheck = {
  id: 'dev.in_use.nvidia',
  about: "whether programs use it by NVIDIA's driver, which then never lets it go",
  needs: 'device',
  needsRoot: true,
  async run({ effects, bdf, uses }) {
    const path = `/proc/driver/nvidia/gpus/${bdf}`;
    if (!(await exists(effects, path))) return skip("it is not with NVIDIA's driver");
    const all = await uses();
    const found = all.filter(
      ({ reason, evidence }) => reason === 'in-use.open' && evidence.startsWith('/dev/nvidia'),
    );
    const [first] = [...found].sort(
      (a, b) => Number(a.level === 'warn') - Number(b.level === 'warn'),
    );
    const read = found.map(({ evidence }) => seen(bdf, evidence));
    if (first?.level === 'block') return fail(first.evidence, first.remedy, ...read);
    const blind = unreadable(all, 'files');
    if (blind !== undefined) return unknownAnswer(blind.evidence, blind.remedy, ...read);
    if (first !== undefined) return warn(first.evidence, first.remedy, ...read);
    const pids = await listProcesses(effects);
    const commands = await Promise.all(pids.map((pid) => readCommand(effects, pid)));
    const at = commands.findIndex((command) => DAEMONS.includes(command));
    return at < 0
      ? ok('nobody has it open', seen(path, 'present'))
      : warn(
          `${commands[at]} (pid ${pids[at]}) runs, and opens it when it likes`,
          'systemctl stop nvidia-persistenced nvidia-powerd',
          seen(`/proc/${pids[at]}/comm`, commands[at] ?? ''),
        );
  },
};
