// Every scenario of fixtures/qmp-transcripts, by subject.
import { attachScenarios } from './attach-scenarios.mjs';
import { detachScenarios } from './detach-scenarios.mjs';
import { foreignScenarios } from './foreign-scenarios.mjs';
import { functionScenarios } from './function-scenarios.mjs';
import { guestScenarios } from './guest-scenarios.mjs';
import { iommufdScenarios } from './iommufd-scenarios.mjs';
import { machineScenarios } from './machine-scenarios.mjs';
import { nativeScenarios } from './native-scenarios.mjs';

/** @type {readonly import('./scenario.mjs').Scenario[]} */
export const SCENARIOS = [
  ...attachScenarios,
  ...detachScenarios,
  ...foreignScenarios,
  ...functionScenarios,
  ...guestScenarios,
  ...nativeScenarios,
  ...machineScenarios,
  ...iommufdScenarios,
];
