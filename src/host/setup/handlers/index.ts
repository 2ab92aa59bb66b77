export type { SetupContext } from './context.js';
export { handlers } from './handlers.js';
export type { FileRecord } from './write-file.js';
