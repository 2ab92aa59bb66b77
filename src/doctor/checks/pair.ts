import { NoFitError } from '../../errors.js';
import { allocatePort, obstacle } from '../../plan/allocate.js';
import { bootOptionsForHost } from '../../plan/boot-options.js';
import { orElse } from '../../known.js';
import { fitOnPort } from '../../plan/fit.js';
import type { Port } from '../../vm/types.js';
import type { PairCheck, Subject, VmCheck } from '../check.js';
import { fail, ok, seen, skip, unknownAnswer, warn } from '../finding.js';
import { numa } from './numa.js';

const NOTHING_TAKEN: ReadonlySet<string> = new Set();

const mechanismOf = ({ mechanism }: Port) => orElse(mechanism, 'unknown');

const hotplug: VmCheck = {
  id: 'vm.hotplug',
  about: 'whether the VM has a free port that takes hot-plug, and by which mechanism',
  needs: 'vm',
  async run({ vm, profile }) {
    const judged = vm.ports.map((port) => ({ port, why: obstacle(port, NOTHING_TAKEN) }));
    const free = judged.filter(({ why }) => why === undefined).map(({ port }) => port);
    const read = judged
      .slice(0, 16)
      .map(({ port, why }) => seen(`port ${port.id}`, why ?? `free, by ${mechanismOf(port)}`));
    if (free.length > 0) {
      const how = [...new Set(free.map(mechanismOf))].join(' and ');
      return ok(`${free.length} of ${judged.length} ports are free, by ${how} hot-plug`, ...read);
    }
    const unread = vm.ports.find(
      ({ mechanism, occupants, capacity }) => !mechanism.known && occupants.length < capacity,
    );
    if (unread !== undefined && !unread.mechanism.known) {
      return unknownAnswer(`${unread.id}: ${unread.mechanism.reason}`, undefined, ...read);
    }
    const remedy = 'detach something, or boot with more ports: qmplug boot-args --root-ports 8';
    const why = judged.length === 0 ? 'the VM has no ports' : 'no port is free';
    return profile === 'static' ? warn(why, remedy, ...read) : fail(why, remedy, ...read);
  },
};

const bars: PairCheck = {
  id: 'dev.bar',
  about: 'whether the BARs go through the windows of a free port',
  needs: 'pair',
  async run({ vm, bdf, profile, function: read }) {
    const device = await read();
    try {
      const port = allocatePort(
        vm,
        {
          what: bdf,
          port: undefined,
          numaNode: device.numaNode,
          bootOptions: bootOptionsForHost([bdf]),
          fit: (candidate) => fitOnPort(candidate, device.bars),
        },
        { taken: NOTHING_TAKEN, allowUnknownWindow: false },
      );
      return ok(`port ${port.id} takes it`, seen(`port ${port.id}`, 'fits'));
    } catch (error) {
      if (!(error instanceof NoFitError)) throw error;
      const { code, message, remedy = 'qmplug boot-args --root-ports 8' } = error;
      const evidence = seen('ports of the VM', code);
      if (code === 'NO_FREE_PORT') return skip('no port is free: see vm.hotplug', evidence);
      if (code === 'WINDOW_UNKNOWN') return unknownAnswer(message, remedy, evidence);
      return profile === 'static'
        ? warn(message, remedy, evidence)
        : fail(message, remedy, evidence);
    }
  },
};

export const vmSubject: Subject = { name: 'VM', checks: [hotplug, bars, numa] };
