import type { StepHandlers } from '../../engine/index.js';
import type { HotplugStep } from '../../plan/steps.js';
import type { StepContext } from '../context.js';
import { addDevice } from './add-device.js';
import { addZpci } from './add-zpci.js';
import { awaitGuest } from './await-guest.js';
import { awaitRemoval } from './await-removal.js';
import { bindDriver, restoreDriver } from './driver.js';
import { createMdevStep, removeMdevStep } from './mdev.js';
import { setVgpuTypeStep } from './vgpu.js';
import { createVfsStep, removeVfsStep, setVfStep } from './vfs.js';
import { forgetAttachment } from './forget-attachment.js';
import { forgetStep } from './forget-step.js';
import { grantAccess, revokeAccess } from './access.js';
import { liftQuarantine } from './quarantine.js';
import { addIommufd, removeIommufd } from './iommufd.js';
import { releaseGroup, reserveGroup } from './group.js';
import { removeDevice } from './remove-device.js';

/** What each kind of step does. */
export const handlers: StepHandlers<HotplugStep, StepContext> = {
  ReserveGroup: reserveGroup,
  BindDriver: bindDriver,
  GrantAccess: grantAccess,
  AddIommufd: addIommufd,
  AddZpci: addZpci,
  AddDevice: addDevice,
  AwaitGuest: awaitGuest,
  RemoveDevice: removeDevice,
  AwaitRemoval: awaitRemoval,
  RemoveIommufd: removeIommufd,
  RevokeAccess: revokeAccess,
  RestoreDriver: restoreDriver,
  ReleaseGroup: releaseGroup,
  ForgetAttachment: forgetAttachment,
  ForgetStep: forgetStep,
  LiftQuarantine: liftQuarantine,
  CreateVfs: createVfsStep,
  RemoveVfs: removeVfsStep,
  SetVf: setVfStep,
  CreateMdev: createMdevStep,
  RemoveMdev: removeMdevStep,
  SetVgpuType: setVgpuTypeStep,
};
