import { requireCapability } from '../../scripts/lab/capability.mjs';
import { borrowDocker } from '../../scripts/lab/qemu-versions.mjs';

/** For the whole tier: a daemon that answers, ended again if there was none before. */
export default function setup(): () => void {
  requireCapability('container');
  const docker = borrowDocker();
  process.env.DOCKER_HOST = docker.host;
  // The containers here have no ports to reach, and there may be no bridge to look for them.
  process.env.TESTCONTAINERS_HOST_OVERRIDE = 'localhost';
  // Its helper image cannot be pulled everywhere; a container ends with the test that owns it.
  process.env.TESTCONTAINERS_RYUK_DISABLED = 'true';
  return docker.giveBack;
}
