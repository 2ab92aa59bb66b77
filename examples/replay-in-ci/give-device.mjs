// The code under test: whatever a program does to a VM. It is given the VM, and knows nothing of replays.

/**
 * Gives a VM an entropy source, and tells where it went.
 *
 * @param {import('qmplug').Vm} vm
 */
export async function giveEntropy(vm) {
  const { attachment } = await vm.attach({ emulate: { driver: 'virtio-rng-pci' }, id: 'entropy0' });
  const { ports } = await vm.inspect();
  const [device] = attachment.functions;
  return { port: device?.port, free: ports.filter(({ state }) => state === 'free').length };
}
