import { objectDel } from '../../../src/qmp/commands.js';
import type { Schedule } from '../schedules/schedule.js';
import { inHandlers, inPlanner, type Defect } from './defect.js';
import { command, oneByOne } from './story.js';

/** A host and a QEMU that have it, and two devices that share an object. */
const TWO_DEVICES: Partial<Schedule> = {
  guest: 'linux',
  release: '10.0.13',
  iommufd: 'opened',
  faultCount: 0,
  batches: oneByOne(command('attach', 'accelerator'), command('attach', 'gpu')),
  ending: 'detach',
};

export const iommufdDefects: readonly Defect[] = [
  inHandlers(
    'the iommufd object is deleted without a look at who else uses it',
    ['works-undisturbed', 'recovers'],
    (own) => ({
      RemoveIommufd: {
        ...own.RemoveIommufd,
        do: async ({ id }, { vm }) => {
          await objectDel(await vm.session(), id);
        },
      },
    }),
    TWO_DEVICES,
  ),

  inHandlers(
    'the iommufd object stays when its last device has gone',
    ['nothing-left'],
    (own) => ({
      RemoveIommufd: {
        ...own.RemoveIommufd,
        do: async () => undefined,
        probe: async () => 'present',
      },
    }),
    TWO_DEVICES,
  ),

  inHandlers(
    'an attach that is undone leaves the iommufd object',
    ['nothing-left'],
    (own) => ({ AddIommufd: { ...own.AddIommufd, undo: async () => undefined } }),
    {
      ...TWO_DEVICES,
      batches: oneByOne(command('attach', 'gpu')),
      rules: [{ fault: 'open-busy', times: 9 }],
    },
  ),

  inPlanner(
    'nobody asks a VM how its devices came into it',
    ['one-mapping'],
    (own) => ({
      attach: (request, world) => {
        const devices = world.vm.devices.map((device) => ({ ...device, iommufd: undefined }));
        return own.attach(request, { ...world, vm: { ...world.vm, devices } });
      },
    }),
    TWO_DEVICES,
  ),
];
