import { DEVICE_ADD_FAILURES } from './failure-tables/device-add.js';
import { DEVICE_DEL_FAILURES } from './failure-tables/device-del.js';
import { OBJECT_FAILURES } from './failure-tables/objects.js';
import { PORT_FAILURES } from './failure-tables/ports.js';
import { PROTOCOL_FAILURES } from './failure-tables/protocol.js';
import { S390X_FAILURES } from './failure-tables/s390x.js';
import { VFIO_FAILURES } from './failure-tables/vfio.js';

/** What QEMU's error texts mean. The first entry that fits counts: the order matters. */
export const FAILURE_TABLE = [
  ...PROTOCOL_FAILURES,
  ...DEVICE_ADD_FAILURES,
  ...PORT_FAILURES,
  ...S390X_FAILURES,
  ...DEVICE_DEL_FAILURES,
  ...OBJECT_FAILURES,
  ...VFIO_FAILURES,
] as const;
