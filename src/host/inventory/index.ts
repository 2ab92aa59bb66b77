export { readMdevs } from './mdevs.js';
export { readPciNames, type PciNames } from './pci-ids.js';
export { readRecords, type RecordOptions } from './read-records.js';
export type {
  Companions,
  DeviceRecord,
  Link,
  MdevRecord,
  MdevType,
  Serial,
  Serials,
  SriovRole,
} from './record.js';
export { recordReads, type RecordedRead, type RecordingEffects } from './recorded-reads.js';
export { rememberReads } from './remember.js';
export { scrubReads } from './scrub.js';
export { rootOf, topologyPathOf, upstreamOf } from './topology-path.js';
