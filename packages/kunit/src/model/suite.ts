import type { KunitSuite } from '../framework/suite.ts';
import type { TestThread } from '../thread/test-thread.ts';
import { LOCK_CR_CASES } from './lock-cr.ts';
import { MODULE_CASES } from './modules.ts';
import { PROTECT_MEMORY_CASES } from './protect-memory.ts';

/** What the tests of the series leave out: arguments of both hypercalls, modules, text patching, reuse of pages. */
export const MODEL_SUITE: KunitSuite<TestThread> = {
  name: 'heki_model',
  cases: [...LOCK_CR_CASES, ...PROTECT_MEMORY_CASES, ...MODULE_CASES],
};
