import type { InitramfsBackend } from './backend.js';
import { booster } from './booster.js';
import { dracut } from './dracut.js';
import { initramfsTools } from './initramfs-tools.js';
import { mkinitcpio } from './mkinitcpio.js';

/** Every backend; where several are installed, the one whose program replaces the others' comes first. */
export const initramfsBackends: readonly InitramfsBackend[] = [
  booster,
  mkinitcpio,
  initramfsTools,
  dracut,
];
