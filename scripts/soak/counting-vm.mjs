// A VM as openVm gives it, with the number of those who listen to QEMU's events beside it.
import { openLiveLink } from '../../build/hotplug/live-link.js';
import { Vm } from '../../build/hotplug/vm.js';
import { connectQmp } from '../../build/qmp/index.js';
import { identifyVm } from '../../build/vm/identity.js';

/**
 * @param {string} address
 * @param {import('../../build/index.js').Environment} environment
 */
export async function openCountingVm(address, environment) {
  let listenerCount = 0;
  /** @param {{ onEvent(listener: any): () => void }} source */
  const count = (source) => {
    const listen = source.onEvent.bind(source);
    source.onEvent = (listener) => {
      const stop = listen(listener);
      listenerCount += 1;
      let stopped = false;
      return () => {
        if (!stopped) listenerCount -= 1;
        stopped = true;
        stop();
      };
    };
  };
  const link = await openLiveLink({
    address,
    connect: async () => {
      const session = await connectQmp(address);
      count(session);
      return session;
    },
    identify: () => identifyVm(address, environment.effects),
    liveness: environment.liveness,
  });
  count(link);
  return { vm: new Vm(environment, link), listenerCount: () => listenerCount };
}
