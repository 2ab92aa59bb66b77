import { QmpFailure } from './failure.js';
import type { HandedFile } from './vfio-backend.js';

/** The files that were handed to one monitor: the last one without a name yet, and those that have one. */
export class NamedFiles {
  readonly #named = new Map<string, HandedFile>();
  #pending: HandedFile | undefined;

  /** A newer message with a file discards the file that nobody has named. */
  arrive(file: HandedFile): void {
    this.#pending?.drop();
    this.#pending = file;
  }

  /** `getfd`. @throws {QmpFailure} */
  name(name: string): void {
    if (this.#pending === undefined) {
      throw new QmpFailure('No file descriptor supplied via SCM_RIGHTS');
    }
    if (/^\d/.test(name)) {
      throw new QmpFailure("Parameter 'fdname' expects a name not starting with a digit");
    }
    this.#named.get(name)?.drop();
    this.#named.set(name, this.#pending);
    this.#pending = undefined;
  }

  /** `closefd`. @throws {QmpFailure} */
  close(name: string): void {
    const file = this.#named.get(name);
    if (file === undefined) throw new QmpFailure(`File descriptor named '${name}' not found`);
    this.#named.delete(name);
    file.drop();
  }

  /** The first use takes it, whatever becomes of that. @throws {QmpFailure} */
  take(name: string): HandedFile {
    const file = this.#named.get(name);
    if (file === undefined) {
      throw new QmpFailure(`File descriptor named '${name}' has not been found`);
    }
    this.#named.delete(name);
    return file;
  }
}
