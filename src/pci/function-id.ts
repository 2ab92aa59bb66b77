import { InputError } from '../errors.js';
import { compareBdf, type Bdf } from './pci-address.js';

declare const functionIdBrand: unique symbol;

/**
 * qdev id of an attached function, `vfio_device_<group>_<index>`. Within the alphabet that every
 * QEMU takes (`^[A-Za-z][A-Za-z0-9._-]*$`), never truncated, the same across detach and attach.
 */
export type FunctionId = string & { readonly [functionIdBrand]: true };

export interface FunctionIdParts {
  /** IOMMU group number. */
  readonly group: number;
  /** Place of the function among the PCI members of its group, in numeric BDF order, from 0. */
  readonly index: number;
}

const FUNCTION_ID = /^vfio_device_(0|[1-9]\d{0,14})_(0|[1-9]\d{0,14})$/;

/** Writes the id; `parseFunctionId` reads back the same parts. @throws {InputError} `BAD_ID`. */
export function formatFunctionId({ group, index }: FunctionIdParts): FunctionId {
  if (!isCount(group) || !isCount(index)) {
    throw new InputError('BAD_ID', `No function id for group ${group}, index ${index}`);
  }
  return `vfio_device_${group}_${index}` as FunctionId;
}

/** Reads an id that `formatFunctionId` wrote. @throws {InputError} `BAD_ID` for any other text. */
export function parseFunctionId(text: string): FunctionIdParts {
  const [, group, index] = FUNCTION_ID.exec(text) ?? [];
  const parts = { group: Number(group), index: Number(index) };
  if (!isCount(parts.group) || !isCount(parts.index)) {
    throw new InputError('BAD_ID', `Not a function id: ${JSON.stringify(text)}`, {
      remedy: 'ids have the form vfio_device_<group>_<index>, for example vfio_device_17_0',
    });
  }
  return parts;
}

/** Whether the text is one of our ids. */
export function isFunctionId(text: string): text is FunctionId {
  return FUNCTION_ID.test(text);
}

/**
 * The id of one member of a group. `members` are all the PCI members, in any order.
 *
 * @throws {InputError} `BAD_ID` when the function is no member.
 */
export function functionIdOf(group: number, members: readonly Bdf[], bdf: Bdf): FunctionId {
  const index = [...members].sort(compareBdf).indexOf(bdf);
  if (index < 0) throw new InputError('BAD_ID', `${bdf} is not in IOMMU group ${group}`);
  return formatFunctionId({ group, index });
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}
