export type { Bar, BarKind, Window } from './bar.js';
export {
  formatFunctionId,
  functionIdOf,
  isFunctionId,
  parseFunctionId,
  type FunctionId,
  type FunctionIdParts,
} from './function-id.js';
export {
  formatGuestPath,
  formatRootedPath,
  parseGuestPath,
  parseRootedPath,
  type GuestPath,
  type GuestPathHop,
  type GuestRoot,
  type RootedPath,
} from './guest-path.js';
export {
  compareBdf,
  fitsHostProperty,
  formatBdf,
  parseBdf,
  slotOf,
  toBdf,
  type Bdf,
  type PciAddress,
} from './pci-address.js';
export { parseResource } from './resource.js';
export { formatSize, parseSize, roundUpToPowerOfTwo } from './size.js';
export {
  barsThrough,
  fitBars,
  windowSizeFor,
  type PortWindows,
  type WindowFit,
  type WindowKind,
} from './window-fit.js';
