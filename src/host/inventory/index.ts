export { readMdevs } from './mdevs.js';
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
export { rememberReads } from './remember.js';
export { rootOf, topologyPathOf, upstreamOf } from './topology-path.js';
