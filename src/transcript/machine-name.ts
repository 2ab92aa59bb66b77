/** Machine families by what QEMU calls their versions. */
const FAMILIES: Readonly<Record<string, string>> = { 'pc-q35': 'q35', 'pc-i440fx': 'pc' };

/**
 * What `-machine` is given for a machine, without the version: `q35` for `pc-q35-7.2-machine`, `virt`,
 * `s390-ccw-virtio`.
 *
 * @param type QOM type of `/machine`.
 */
export function machineName(type: string): string {
  const name = type.replace(/-machine$/, '').replace(/-(rhel)?\d+(\.\d+)*$/, '');
  return FAMILIES[name] ?? name;
}
