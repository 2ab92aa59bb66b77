export { RawQmp, RawQmpError } from '../../scripts/lab/raw-qmp.mjs';
export type { RawEvent } from '../../scripts/lab/raw-qmp.mjs';
