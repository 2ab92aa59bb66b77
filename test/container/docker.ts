import { requireCapability } from '../../scripts/lab/capability.mjs';
import { borrowDocker } from '../../scripts/lab/qemu-versions.mjs';

let giveBack = (): void => undefined;

/** For the whole tier: a daemon that answers. */
export function setup(): void {
  requireCapability('container');
  const docker = borrowDocker();
  giveBack = docker.giveBack;
  process.env.DOCKER_HOST = docker.host;
  // The containers here have no ports to reach, and there may be no bridge to look for them.
  process.env.TESTCONTAINERS_HOST_OVERRIDE = 'localhost';
  // Its helper image cannot be pulled everywhere; a container ends with the test that owns it.
  process.env.TESTCONTAINERS_RYUK_DISABLED = 'true';
}

/** Ends the daemon if there was none before. */
export function teardown(): void {
  giveBack();
}
