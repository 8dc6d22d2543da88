export { actionText } from './action-text.ts';
export type { ComposedScenario } from './composed-scenario.ts';
export {
  createScenarioMachine,
  type ScenarioMachineOptions,
} from './create-scenario-machine.ts';
export {
  describeNotTaken,
  describePageClass,
  describeRights,
  describeScenario,
  describeStep,
  type PageClassText,
} from './describe.ts';
export { ScenarioError } from './error.ts';
export { createEventCounter, type EventCount, type EventCounter } from './event-count.ts';
export type { RightsVerdict } from './expect-rights.ts';
export { isInForce } from './in-force.ts';
export { beginLife, type Life } from './life.ts';
export { type PageClass, pageClasses } from './page-classes.ts';
export {
  expectedVerdict,
  isAttack,
  runScenario,
  runSteps,
  type ScenarioResult,
  type StepResult,
  type StepVerdict,
} from './run-scenario.ts';
export type { ExpectedRights, Step } from './schema/step-schema.ts';
export {
  runWorkload,
  WORKLOAD_SETTINGS,
  type WorkloadOutcome,
  type WorkloadSetting,
} from './workload-matrix.ts';
export { WORKLOADS, type Workload } from './workloads.ts';
