/**
 * Small files with the few atomic operations that locks, reservations and the journal stand on.
 * Names are relative, `/`-separated; folders come into being with their first file.
 *
 * Runtime state needs no fsync: a power loss voids driver bindings and VMs alike.
 */
export interface StateStore {
  /** Where the files are, for messages. */
  readonly location: string;
  /** Names of the files in a folder; empty when the folder does not exist. */
  list(folder: string): Promise<readonly string[]>;
  /** The whole text, or undefined when there is no such file. */
  read(name: string): Promise<string | undefined>;
  /** Adds to the end in one write. A kill can leave a part of `text`, never a mix. */
  append(name: string, text: string): Promise<void>;
  /** Makes the file, whole or not at all. False when it exists already. */
  create(name: string, text: string): Promise<boolean>;
  /** Moves a file within a folder, atomically, over whatever has the name. */
  rename(from: string, to: string): Promise<void>;
  /** False when there was none. */
  remove(name: string): Promise<boolean>;
  /** Calls back after something in the folder may have changed. The returned function ends it. */
  watch(folder: string, onChange: () => void): () => void;
}
