import type { FailureEntry } from '../failure-entry.js';
import { REREAD } from './remedies.js';

const ADD = ['device_add'];

/**
 * Error texts of `device_add` on s390x: channel subsystem and zPCI.
 * Sources: QEMU 7.2.22 and 10.0.13 (run), 10.2.2 (read).
 */
export const S390X_FAILURES = [
  {
    text: 'Device %s already exists',
    commands: ADD,
    kind: 'slot-occupied',
    advice: 'reconcile',
    versions: '7.2-10.0',
    remedy: REREAD,
  },
  {
    text: 'uid %d already in use',
    commands: ADD,
    kind: 'index-taken',
    advice: 'permanent',
    versions: '7.2-10.0',
    remedy: 'choose another uid',
  },
  {
    text: 'fid %d already in use',
    commands: ADD,
    kind: 'index-taken',
    advice: 'permanent',
    versions: '7.2-10.0',
    remedy: 'choose another fid',
  },
  {
    text: 'target %s already has an associated zpci device',
    commands: ADD,
    kind: 'duplicate-id',
    advice: 'reconcile',
    versions: '7.2-10.0',
    remedy: 'use the zpci device that is there: add its target',
  },
  {
    text: 'No free subchannel found for %s',
    commands: ADD,
    kind: 'bus-full',
    advice: 'permanent',
    versions: '10.2',
  },
  {
    text: 'Virtual channel subsystem is full!',
    commands: ADD,
    kind: 'bus-full',
    advice: 'permanent',
    versions: '10.2',
  },
  {
    text: 'MSI-X support is mandatory in the S390 architecture',
    commands: ADD,
    kind: 'unsupported-device',
    advice: 'permanent',
    versions: '10.2',
  },
] as const satisfies readonly FailureEntry[];
