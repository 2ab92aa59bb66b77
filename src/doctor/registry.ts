import type { Check, Subject } from './check.js';
import { cpuKvm } from './checks/cpu-kvm.js';
import { driverSubject } from './checks/device-driver.js';
import { hardwareSubject } from './checks/device-hardware.js';
import { useSubject } from './checks/device-use.js';
import { deviceSubject } from './checks/device.js';
import { iommuSubject } from './checks/iommu.js';
import { kernelSubject } from './checks/kernel.js';
import { kvmfrSubject } from './checks/kvmfr.js';
import { memorySubject } from './checks/memory.js';
import { vmSubject } from './checks/pair.js';
import { ownSubject, toolsSubject } from './checks/tools.js';
import { udevSubject } from './checks/udev.js';
import { vfioSubject } from './checks/vfio.js';

/** Every check, by subject, in the order in which findings are told. */
export const SUBJECTS: readonly Subject[] = [
  cpuKvm,
  iommuSubject,
  vfioSubject,
  memorySubject,
  kernelSubject,
  kvmfrSubject,
  udevSubject,
  deviceSubject,
  driverSubject,
  useSubject,
  hardwareSubject,
  vmSubject,
  toolsSubject,
  ownSubject,
];

export const CHECKS: readonly Check[] = SUBJECTS.flatMap(({ checks }) => checks);
