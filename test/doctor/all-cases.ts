import type { Verdict } from '../../src/doctor/index.js';
import { CASES as FIRST_CASES } from './cases.js';
import type { Case } from './case.js';
import { DEVICE_ALSO, DEVICE_CASES } from './cases-device.js';
import { HOST_ALSO, HOST_CASES } from './cases-host.js';
import { KVMFR_ALSO, KVMFR_CASES } from './cases-kvmfr.js';
import { OTHER_CASES } from './cases-other.js';
import { VFIO_ALSO, VFIO_CASES } from './cases-vfio.js';
import type { Change } from './patient.js';

export { ELSEWHERE } from './cases.js';

/** Of every check. */
export const CASES: Readonly<Record<string, Case>> = {
  ...FIRST_CASES,
  ...HOST_CASES,
  ...VFIO_CASES,
  ...KVMFR_CASES,
  ...DEVICE_CASES,
  ...OTHER_CASES,
};

const also = [
  ...Object.entries(CASES).map(([id, { also = {} }]) => [id, also] as const),
  ...[HOST_ALSO, VFIO_ALSO, KVMFR_ALSO, DEVICE_ALSO].flatMap((each) => Object.entries(each)),
];

/** What else a check can say: its id, what brings it about, the verdict, the change. */
export const ALSO: readonly (readonly [string, string, Verdict, Change])[] = also.flatMap(
  ([id, cases]) =>
    Object.entries(cases).map(
      ([what, { verdict, ...change }]) => [id, what, verdict, change] as const,
    ),
);
