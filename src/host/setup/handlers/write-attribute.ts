import type { StepHandler } from '../../../engine/index.js';
import { HostError } from '../../../errors.js';
import type { WriteAttribute } from '../steps.js';
import type { SetupContext } from './context.js';
import { modified } from './write-file.js';

/** Sets an attribute while the machine runs; the kernel may give less than was asked for. */
export const writeAttribute: StepHandler<WriteAttribute, SetupContext> = {
  async check({ path, expect }, { host }) {
    if ((await host.readAttribute(path)) !== expect)
      throw modified(path, 'since the plan was made');
  },
  async do({ path, value }, { host }) {
    await host.writeAttribute(path, value);
    const now = await host.readAttribute(path);
    if (now === value) return;
    throw new HostError('HOST_IO', `${path}: ${value} was written, it reads ${now}`, {
      remedy: 'see what the kernel says: dmesg | tail; for huge pages, free memory on that node',
      details: { path, value, now },
    });
  },
  async undo({ path, expect }, { host }) {
    await host.writeAttribute(path, expect);
  },
  async probe({ path, value }, { host }) {
    try {
      return (await host.readAttribute(path)) === value ? 'present' : 'absent';
    } catch {
      return 'unreadable';
    }
  },
  undoIsIndependent: true,
};
