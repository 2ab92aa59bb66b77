/** Sorts before 80-drivers.rules, which loads the native drivers. */
export const EARLY_RULE = '/etc/udev/rules.d/60-qmplug-vfio.rules';
/** Sorts before 73-seat-late.rules, which gives what is tagged `uaccess` to the seat. */
export const KVMFR_RULE = '/etc/udev/rules.d/70-qmplug-kvmfr.rules';
export const KVMFR_OPTIONS = '/etc/modprobe.d/qmplug-kvmfr.conf';
export const MODULE_OPTIONS = '/etc/modprobe.d/qmplug.conf';
export const HUGEPAGES = '/etc/tmpfiles.d/qmplug-hugepages.conf';

/** What the recipes that are gone left on machines: told, and never touched unasked. */
export const ARTEFACTS: readonly string[] = [
  '/etc/udev/rules.d/99-kvmfr.rules',
  '/etc/udev/rules.d/70-kvmfr.rules',
  '/etc/modprobe.d/kvmfr.conf',
  '/etc/dracut.conf.d/vfio.conf',
  '/etc/libvirt/hooks/qemu',
];
