/** What differs between the QEMU releases the simulator can be. */
export interface Release {
  readonly major: number;
  readonly minor: number;
  readonly micro: number;
  readonly package: string;
  /** JSON types are taken as they are (9.2 and later); before, everything was text first. */
  readonly strictTypes: boolean;
  /** `device_add` checks its id (until 9.1). */
  readonly checksDeviceId: boolean;
  /** A second device without `addr` lands in slot 1 of a root port, unseen (until 9.1). */
  readonly strayDeviceInSlot1: boolean;
  /** A port with `hotplug=off` and the root bus have a handler all the same, which takes nothing (by 10.0). */
  readonly closedPortKeepsHandler: boolean;
  /** ACPI's tables end at the first slot of a port, but for slot 0, that has no function 0 (before 10.0). */
  readonly tablesEndAtGap: boolean;
  /** Number of the AHCI controller among q35's unattached devices; SMBus and its EEPROMs follow. */
  readonly ahciIndex: number;
  /** A conventional bridge's controller refuses while the guest is switching the slot (8.0). */
  readonly shpcRefusesWhileBusy: boolean;
  /** `query-status` has `singlestep` (until 8.1). */
  readonly singlestep: boolean;
  /** Object type `iommufd`, properties `iommufd` and `fd` of vfio-pci (9.0). */
  readonly iommufd: boolean;
  /** `Could not open '/dev/vfio/N'` instead of `failed to open /dev/vfio/N` (9.1). */
  readonly newOpenText: boolean;
  /** The map function is called `vfio_container_dma_map` (9.0). */
  readonly dmaMapFunction: string;
  /** What `device_del` calls an object that is no device. */
  readonly notADevice: string;
}

export type ReleaseName = '7.2.22' | '10.0.13';

/** Each observed on the Debian package of that version. */
export const RELEASES = {
  '7.2.22': {
    major: 7,
    minor: 2,
    micro: 22,
    package: 'Debian 1:7.2+dfsg-7+deb12u18+b3',
    strictTypes: false,
    checksDeviceId: true,
    strayDeviceInSlot1: true,
    closedPortKeepsHandler: false,
    tablesEndAtGap: true,
    ahciIndex: 15,
    shpcRefusesWhileBusy: false,
    singlestep: true,
    iommufd: false,
    newOpenText: false,
    dmaMapFunction: 'vfio_dma_map',
    notADevice: 'is not a hotpluggable device',
  },
  '10.0.13': {
    major: 10,
    minor: 0,
    micro: 13,
    package: 'Debian 1:10.0.13+ds-0+deb13u1',
    strictTypes: true,
    checksDeviceId: false,
    strayDeviceInSlot1: false,
    closedPortKeepsHandler: true,
    tablesEndAtGap: false,
    ahciIndex: 12,
    shpcRefusesWhileBusy: true,
    singlestep: false,
    iommufd: true,
    newOpenText: true,
    dmaMapFunction: 'vfio_container_dma_map',
    notADevice: 'is not a device',
  },
} as const satisfies Record<ReleaseName, Release>;
