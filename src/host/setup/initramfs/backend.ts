import type { FileWish } from '../kernel-arguments/index.js';
import type { SetupHost } from '../setup-host.js';

/** What an initramfs shall hold so that vfio-pci is there before the native drivers. */
export interface InitramfsWish {
  /** Names with underscores, in the order in which they are to be loaded. */
  readonly modules: readonly string[];
  /** Files to be copied in, at the same place. */
  readonly files: readonly string[];
  /** Whether the files belong to an image that is being built, and so below /usr. */
  readonly intoImage: boolean;
}

/** The program that makes the initramfs. */
export interface InitramfsBackend {
  readonly name: string;
  /** Whether the files of a wish can be in the image: booster's has no udev. */
  readonly takesFiles: boolean;
  detect(host: SetupHost): Promise<boolean>;
  wishes(wish: InitramfsWish): readonly FileWish[];
  /** Files that must be executable. */
  readonly executable?: readonly string[];
  readonly refresh: readonly (readonly string[])[];
  /** Where the image of a kernel lies. */
  images(release: string): readonly string[];
  /** Prints the names in an image. */
  list(image: string): readonly string[];
}
