export type { Clock } from './clock.js';
export * from './errors.js';
export * from './hotplug/index.js';
export type { Known } from './known.js';
export type { Logger } from './logger.js';
export { stringifyJson, type JsonObject, type JsonValue } from './json.js';
