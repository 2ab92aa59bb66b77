// The machines of other architectures that the lab boots: which QEMU, which Debian packages, and how
// the host talks to the guest.

/**
 * @typedef {object} Architecture
 * @property {string} debian Debian's name of it
 * @property {string | undefined} suite where the machine's own suite has no such architecture
 * @property {string} metaPackage Debian's name for "the current kernel"
 * @property {string} binary QEMU's program
 * @property {string} qemuPackage the Debian package of that program
 * @property {string} machine
 * @property {string} console kernel's name of the first serial port
 * @property {string} agent device node of the line to the host
 * @property {readonly string[]} modules what the agent's line needs, and the buses of the machine
 * @property {(socket: { console: string, agent: string }) => readonly string[]} lines QEMU arguments
 */

const socket = (/** @type {string} */ id, /** @type {string} */ path) => [
  '-chardev',
  `socket,id=${id},path=${path}`,
];

/** A serial port for the console, a virtio port for the agent: most machines have one serial port. */
const overVirtio =
  (/** @type {string} */ transport) =>
  (/** @type {{ console: string, agent: string }} */ paths) => [
    ...socket('serial-console', paths.console),
    ...['-serial', 'chardev:serial-console'],
    ...socket('serial-agent', paths.agent),
    ...['-device', `virtio-serial-${transport}`],
    ...['-device', 'virtserialport,chardev=serial-agent,name=agent'],
  ];

const VIRTIO_AGENT = '/dev/vport0p1';

/** By QEMU's name of the architecture. */
export const ARCHITECTURES = /** @type {const} @satisfies {Record<string, Architecture>} */ ({
  aarch64: {
    debian: 'arm64',
    suite: undefined,
    metaPackage: 'linux-image-arm64',
    binary: 'qemu-system-aarch64',
    qemuPackage: 'qemu-system-arm',
    machine: 'virt',
    console: 'ttyAMA0',
    agent: VIRTIO_AGENT,
    modules: ['virtio_mmio', 'virtio_console'],
    lines: overVirtio('device'),
  },
  s390x: {
    debian: 's390x',
    suite: undefined,
    metaPackage: 'linux-image-s390x',
    binary: 'qemu-system-s390x',
    qemuPackage: 'qemu-system-misc',
    machine: 's390-ccw-virtio',
    console: 'ttysclp0',
    agent: VIRTIO_AGENT,
    modules: ['virtio_console'],
    lines: (paths) => [
      ...socket('serial-console', paths.console),
      ...['-device', 'sclpconsole,chardev=serial-console'],
      ...socket('serial-agent', paths.agent),
      // Out of the way of what a test adds without naming an address.
      ...['-device', 'virtio-serial-ccw,devno=fe.3.ff00'],
      ...['-device', 'virtserialport,chardev=serial-agent,name=agent'],
    ],
  },
  riscv64: {
    debian: 'riscv64',
    // An architecture of Debian since 13.
    suite: 'trixie',
    metaPackage: 'linux-image-riscv64',
    binary: 'qemu-system-riscv64',
    qemuPackage: 'qemu-system-misc',
    machine: 'virt',
    console: 'ttyS0',
    agent: VIRTIO_AGENT,
    modules: ['virtio_mmio', 'virtio_console'],
    lines: overVirtio('device'),
  },
  ppc64: {
    debian: 'ppc64el',
    suite: undefined,
    metaPackage: 'linux-image-powerpc64le',
    binary: 'qemu-system-ppc64',
    qemuPackage: 'qemu-system-ppc',
    machine: 'pseries',
    console: 'hvc0',
    agent: '/dev/hvc1',
    modules: [],
    lines: (paths) => [
      ...socket('serial-console', paths.console),
      ...['-serial', 'chardev:serial-console'],
      ...socket('serial-agent', paths.agent),
      ...['-serial', 'chardev:serial-agent'],
    ],
  },
});
/** @typedef {keyof typeof ARCHITECTURES} ArchitectureName */
