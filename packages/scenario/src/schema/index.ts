export { ScenarioError } from '../error.ts';
export { loadScenario, type ScenarioSources } from './load-scenario.ts';
export { parseScenario } from './parse-scenario.ts';
export type { Scenario } from './scenario-schema.ts';
