export { ScenarioError } from './error.ts';
export { beginLife, type Life } from './life.ts';
export { type PageClass, pageClasses } from './page-classes.ts';
export {
  runScenario,
  runSteps,
  type ScenarioOptions,
  type ScenarioResult,
  type StepResult,
  type StepVerdict,
} from './run-scenario.ts';
export { KERNEL_JUMP_LABELS } from './run-step.ts';
export {
  type ComposedScenario,
  composeScenario,
  type MachineSpecification,
  memoryBytes,
  parseScenario,
  type Scenario,
  type Step,
} from './scenario.ts';
export {
  runWorkload,
  WORKLOAD_SETTINGS,
  type WorkloadOutcome,
  type WorkloadSetting,
} from './workload-matrix.ts';
export { WORKLOADS, type Workload } from './workloads.ts';
