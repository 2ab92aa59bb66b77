export * from './simulator/index.js';
export * from './transcript/index.js';
