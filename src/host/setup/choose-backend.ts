import { HostNotReadyError, InputError } from '../../errors.js';
import { known, unknown, type Known } from '../../known.js';
import { parseCommandLine, type KernelArgument } from './command-line.js';
import type { SetupFacts } from './facts.js';
import { textOf } from './file-state.js';
import { backendNamed, backends, type KernelArgumentBackend } from './kernel-arguments/index.js';
import { findMenu } from './kernel-arguments/grub-edit.js';
import type { SetupHost } from './setup-host.js';

/** The mechanism that configures the kernel's arguments here, and what it has. */
export async function chooseBackend(
  host: SetupHost,
  wanted = 'auto',
): Promise<SetupFacts['kernelArguments']> {
  const here: KernelArgumentBackend[] = [];
  for (const backend of backends) if (await backend.detect(host)) here.push(backend);
  const backend = wanted === 'auto' ? here[0] : forced(wanted, here);
  if (backend === undefined) throw new Error('there is always the backend "none"');
  return {
    backend,
    others: here
      .filter((other) => other !== backend && other.name !== 'none')
      .map(({ name }) => name),
    configured: await attempt(() => backend.read(host)),
    refresh: await attempt(async () => (backend.kind === 'file' ? backend.refresh(host) : [])),
    menu: backend.name.startsWith('grub-') ? await readMenu(host) : undefined,
  };
}

function forced(name: string, here: readonly KernelArgumentBackend[]): KernelArgumentBackend {
  const names = here.map((backend) => backend.name).join(', ');
  if (backendNamed(name) === undefined) {
    throw new InputError('BAD_DESIRED_STATE', `backend: there is no ${name}`, {
      remedy: `set backend to "auto" or one of: ${backends.map((each) => each.name).join(', ')}`,
      details: { path: 'backend' },
    });
  }
  const found = here.find((backend) => backend.name === name);
  if (found !== undefined) return found;
  throw new HostNotReadyError('NO_BACKEND', `the backend ${name} is not on this host`, {
    remedy: `set backend to "auto" or one of: ${names}`,
    details: { backend: name, here: here.map((backend) => backend.name) },
  });
}

/** The line of the first entry, which is the one that boots where nobody chose another. */
async function readMenu(host: SetupHost): Promise<Known<readonly KernelArgument[]>> {
  return attempt(async () => {
    const text = textOf(await host.readFile(await findMenu(host))) ?? '';
    const line = /^\s*linux(?:16|efi)?\s+\S+\s*(.*)$/m.exec(text)?.[1];
    if (line === undefined) throw new Error('the menu of GRUB has no entry for Linux');
    return parseCommandLine(line);
  });
}

async function attempt<T>(read: () => Promise<T>): Promise<Known<T>> {
  try {
    return known(await read());
  } catch (error) {
    return unknown(error instanceof Error ? error.message : String(error));
  }
}
