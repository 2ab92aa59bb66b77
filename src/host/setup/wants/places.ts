/** Sorts before 80-drivers.rules, which loads the native drivers. */
export const EARLY_RULE = '/etc/udev/rules.d/60-qmplug-vfio.rules';
