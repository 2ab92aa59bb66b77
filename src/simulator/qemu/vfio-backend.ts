import type { Bar } from '../../pci/bar.js';
import type { OpenFile } from '../../qmp/transport.js';

/** What QEMU asks of the host's kernel for a vfio-pci device. */
export interface VfioBackend {
  /** Whether anything exists at a sysfs path. */
  exists(sysfsPath: string): boolean;
  /** The function a sysfs path names, following links; undefined when it is no PCI function. */
  describe(sysfsPath: string): VfioFunction | undefined;
  /** @param token `vf-token`. @throws {VfioOpenError} */
  open(bdf: string, ramBytes: bigint, token?: string): void;
  /**
   * Binds a device to iommufd: by its node and /dev/iommu, or by what was handed over instead of them.
   *
   * @throws {VfioOpenError}
   */
  openThroughIommufd(bdf: string, ramBytes: bigint, handed: HandedOver): void;
  close(bdf: string): void;
  /** QEMU becomes a further holder of an open file that came with a command. */
  receive(file: OpenFile): HandedFile;
}

/** A file that was handed to QEMU, and which QEMU holds until it is dropped. */
export interface HandedFile {
  readonly path: string;
  drop(): void;
}

/** What QEMU has instead of opening it. */
export interface HandedOver {
  readonly device: HandedFile | undefined;
  readonly isIommuOpen: boolean;
}

export interface VfioFunction {
  readonly bdf: string;
  readonly group: number | undefined;
  readonly vendorId: number;
  readonly deviceId: number;
  readonly subsystem: readonly [vendor: number, device: number];
  readonly classCode: number;
  readonly bars: readonly Bar[];
  readonly bridge: boolean;
  readonly dead: boolean;
}

/** Where opening a VFIO device stopped, in the order in which QEMU does it. */
export type VfioOpenStage =
  | 'open-group'
  | 'viable'
  | 'container'
  | 'map'
  | 'get-device'
  | 'open-iommu'
  | 'open-cdev'
  | 'bind';

export class VfioOpenError extends Error {
  readonly stage: VfioOpenStage;
  readonly errno: string;

  constructor(stage: VfioOpenStage, errno: string) {
    super(`${stage}: ${errno}`);
    this.name = 'VfioOpenError';
    this.stage = stage;
    this.errno = errno;
  }
}
