import type { StepHandlers } from '../../../engine/index.js';
import type { SetupStep } from '../steps.js';
import { adopt } from './adopt.js';
import type { SetupContext } from './context.js';
import { refresh, runPair } from './programs.js';
import { setArguments } from './set-arguments.js';
import { writeAttribute } from './write-attribute.js';
import { writeFile } from './write-file.js';

/** What each kind of set-up step does. */
export const handlers: StepHandlers<SetupStep, SetupContext> = {
  WriteFile: writeFile,
  SetArguments: setArguments,
  RunPair: runPair,
  WriteAttribute: writeAttribute,
  Refresh: refresh,
  Adopt: adopt,
};
