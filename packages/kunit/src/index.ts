export { KunitError } from './error.ts';
export { failureText } from './framework/run-case.ts';
export type { CaseResult, FailedAccess } from './framework/suite.ts';
export { CHANGED_EXPECTATIONS, type ChangedExpectation } from './heki/changed-expectations.ts';
export type { KtapStatus, KtapWriter } from './ktap/ktap-writer.ts';
export {
  KUNIT_SUITES,
  type KunitOptions,
  type KunitSuiteName,
  kunitTests,
  runKunit,
  type SuiteResult,
} from './run-kunit.ts';
