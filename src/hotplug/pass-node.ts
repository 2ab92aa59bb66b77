import { HostError } from '../errors.js';
import { cdevNode, readCdev } from '../host/cdev.js';
import type { HostEffects } from '../host/effects.js';
import { hostFailure } from '../host/reading.js';
import { closeFd, getFd } from '../qmp/commands.js';
import { CommandError } from '../qmp/failures.js';
import type { QmpSession } from '../qmp/session.js';

/**
 * Opens a device node and hands it to QEMU under a name, for the next command of this monitor that uses it.
 *
 * @throws {HostError} `HOST_IO`. @throws what `getFd` throws.
 */
export async function passNode(
  { host, session }: { readonly host: HostEffects; readonly session: QmpSession },
  { node, name }: { readonly node: string; readonly name: string },
): Promise<void> {
  const file = await host.open(node).catch((error: unknown) => {
    throw hostFailure(node, error);
  });
  try {
    await getFd(session, name, file);
  } finally {
    await file.close();
  }
}

/** The device's own node. @param device a BDF or a UUID. @throws {HostError} `NO_IOMMUFD` */
export async function requireCdevNode(host: HostEffects, device: string): Promise<string> {
  const name = await readCdev(host, device);
  if (name !== undefined) return cdevNode(name);
  throw new HostError('NO_IOMMUFD', `${device}: the kernel has made no node of its own for it`, {
    remedy: 'use the group: --no-iommufd; the kernel lacks CONFIG_VFIO_DEVICE_CDEV',
    details: { device },
  });
}

/** Has QEMU close what it was handed under a name and has not used; done where it knows no such name. */
export async function takeBack(session: QmpSession, name: string): Promise<void> {
  try {
    await closeFd(session, name);
  } catch (error) {
    if (!(error instanceof CommandError) || error.failure.kind !== 'fd-not-found') throw error;
  }
}
