import { known, unknown, type Known } from '../../known.js';
import { initramfsBackends, type InitramfsBackend } from './initramfs/index.js';
import type { SetupHost } from './setup-host.js';

/** The initramfs of one kernel. */
export interface Initramfs {
  /** The image, or where one was looked for. */
  readonly path: string;
  /** Names in it. */
  readonly listing: Known<readonly string[]>;
}

/** The program that makes the initramfs here; undefined where there is none. */
export async function findInitramfsBackend(host: SetupHost): Promise<InitramfsBackend | undefined> {
  for (const backend of initramfsBackends) if (await backend.detect(host)) return backend;
  return undefined;
}

/** Where the modules of every installed kernel lie, by its release; the newest comes last. */
export async function findKernels(host: SetupHost): Promise<ReadonlyMap<string, string>> {
  const folders = new Map<string, string>();
  for (const folder of ['/usr/lib/modules', '/lib/modules']) {
    for (const release of await host.list(folder)) {
      const path = `${folder}/${release}`;
      if (!folders.has(release) && (await host.exists(`${path}/modules.builtin`))) {
        folders.set(release, path);
      }
    }
  }
  return new Map([...folders].sort(([a], [b]) => a.localeCompare(b, 'en', { numeric: true })));
}

/** Unpacks the image of a kernel to see what is in it: seconds of work, and nothing is changed. */
export async function readInitramfs(
  host: SetupHost,
  backend: InitramfsBackend | undefined,
  release: string,
): Promise<Initramfs> {
  const images = backend?.images(release) ?? [];
  const path = await firstThere(host, images);
  if (backend === undefined) {
    return { path: '/boot', listing: unknown('no program that makes an initramfs was found') };
  }
  if (path === undefined) {
    const shown = images.join(', ');
    return { path: shown, listing: unknown(`there is none of ${shown}`) };
  }
  return { path, listing: await list(host, backend.list(path)) };
}

async function firstThere(host: SetupHost, paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) if (await host.exists(path)) return path;
  return undefined;
}

async function list(host: SetupHost, argv: readonly string[]): Promise<Known<readonly string[]>> {
  try {
    const { status, stdout, stderr } = await host.run(argv);
    if (status === 0) return known(stdout.split('\n'));
    return unknown(`${argv.join(' ')}: ${stderr.trim() || `exit status ${status}`}`);
  } catch (error) {
    return unknown(error instanceof Error ? error.message : String(error));
  }
}
