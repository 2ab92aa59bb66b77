import { textOf } from './file-state.js';
import type { SetupHost } from './setup-host.js';
import { ARTEFACTS } from './wants/places.js';

/** What recipes that are gone left here, and what would take it away. */
export interface Leftovers {
  /** Files that can be taken over as they are. */
  readonly files: readonly string[];
  readonly others: readonly { readonly what: string; readonly remedy: string }[];
}

const SELINUX_MODULE = '/var/lib/selinux/targeted/active/modules/400/kvmfr';
const SELINUX_CONTEXTS = '/etc/selinux/targeted/contexts/files/file_contexts.local';

export async function readLeftovers(host: SetupHost): Promise<Leftovers> {
  const there = await Promise.all(ARTEFACTS.map((path) => host.exists(path)));
  const others = [];
  if (await host.exists(SELINUX_MODULE)) {
    others.push({
      what: 'the SELinux module kvmfr, which opens every unlabelled device',
      remedy: 'semodule -r kvmfr',
    });
  }
  const contexts = await host.readFile(SELINUX_CONTEXTS).catch(() => ({ kind: 'absent' }) as const);
  if ((textOf(contexts) ?? '').includes('/dev/kvmfr')) {
    const remedy = "semanage fcontext -d '/dev/kvmfr0'";
    others.push({ what: `a label for /dev/kvmfr0 in ${SELINUX_CONTEXTS}`, remedy });
  }
  for (const home of await homes(host)) {
    const path = `${home}/.config/selinux_te`;
    if (await host.exists(path)) others.push({ what: path, remedy: `rm -r ${path}` });
  }
  if (await hasLocalInitramfs(host)) {
    const what = 'a local initramfs, which bootc refuses';
    others.push({ what, remedy: 'rpm-ostree initramfs --disable' });
  }
  return { files: ARTEFACTS.filter((_, index) => there[index]), others };
}

async function homes(host: SetupHost): Promise<readonly string[]> {
  const folders = await Promise.all(
    ['/home', '/var/home'].map(async (folder) =>
      (await host.list(folder).catch(() => [])).map((name) => `${folder}/${name}`),
    ),
  );
  return ['/root', ...folders.flat()];
}

/** rpm-ostree keeps it in the origin of the deployment (rpmostree-origin.cxx, `regenerate-initramfs`). */
async function hasLocalInitramfs(host: SetupHost): Promise<boolean> {
  for (const system of await host.list('/ostree/deploy').catch(() => [])) {
    const folder = `/ostree/deploy/${system}/deploy`;
    const names = (await host.list(folder).catch(() => [])).filter((name) =>
      name.endsWith('.origin'),
    );
    for (const name of names) {
      const state = await host
        .readFile(`${folder}/${name}`)
        .catch(() => ({ kind: 'absent' }) as const);
      if (/^regenerate-initramfs=true$/m.test(textOf(state) ?? '')) return true;
    }
  }
  return false;
}
