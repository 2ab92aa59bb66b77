export type {
  CommandBackend,
  ConfiguredArguments,
  FileBackend,
  FileWish,
  KernelArgumentBackend,
  PrintBackend,
} from './backend.js';
export { backendNamed, backends } from './registry.js';
