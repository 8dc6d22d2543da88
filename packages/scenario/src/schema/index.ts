export { ScenarioError } from '../error.ts';
export { loadScenario, type ScenarioSources } from './load-scenario.ts';
export { machineSchema } from './machine-schema.ts';
export { parseScenario } from './parse-scenario.ts';
export { type Scenario, scenarioSchema } from './scenario-schema.ts';
export { stepSchema } from './step-schema.ts';
