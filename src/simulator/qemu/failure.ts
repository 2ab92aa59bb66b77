/** QAPI's error classes; nearly everything is GenericError. */
export type ErrorClass = 'GenericError' | 'CommandNotFound' | 'DeviceNotActive' | 'DeviceNotFound';

/** A command's error reply. */
export class QmpFailure extends Error {
  readonly errorClass: ErrorClass;

  constructor(description: string, errorClass: ErrorClass = 'GenericError') {
    super(description);
    this.name = 'QmpFailure';
    this.errorClass = errorClass;
  }
}

export const deviceNotFound = (name: string) =>
  new QmpFailure(`Device '${name}' not found`, 'DeviceNotFound');
