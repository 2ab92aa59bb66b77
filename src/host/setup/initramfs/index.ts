export type { InitramfsBackend, InitramfsWish } from './backend.js';
export { initramfsBackends } from './registry.js';
