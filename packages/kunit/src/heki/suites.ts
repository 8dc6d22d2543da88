import type { KunitCase, KunitSuite } from '../framework/suite.ts';
import type { TestThread } from '../thread/test-thread.ts';
import { crDisableSmep, crDisableSmepV3, crDisableSmepWithFixUp } from './cr-disable-smep.ts';
import { exec, execWithFixUp } from './exec.ts';
import { writeToRodata, writeToRodataWithFixUp } from './write-to-rodata.ts';

/** A test of the series: as published, and the port that comes back from what protection does. */
interface PortedCase {
  readonly name: string;
  readonly published: KunitCase<TestThread>['run'];
  readonly port: KunitCase<TestThread>['run'];
}

/** The four tests, in the order of their numbers: `heki_test=1` is the first. */
const CASES: readonly PortedCase[] = [
  { name: 'heki_test_cr_disable_smep', published: crDisableSmep, port: crDisableSmepWithFixUp },
  {
    name: 'heki_test_write_to_const',
    published: (test, thread) => writeToRodata(test, thread, thread.image.constBuffer),
    port: (test, thread) => writeToRodataWithFixUp(test, thread, thread.image.constBuffer),
  },
  {
    name: 'heki_test_write_to_ro_after_init',
    published: (test, thread) => writeToRodata(test, thread, thread.image.roAfterInitBuffer),
    port: (test, thread) => writeToRodataWithFixUp(test, thread, thread.image.roAfterInitBuffer),
  },
  { name: 'heki_test_exec', published: exec, port: execWithFixUp },
];

/** The tests of Heki v2 19/19: `published` does the steps of the series, `port` those that {@link CHANGED_EXPECTATIONS} lists. */
export function hekiSuite(version: 'published' | 'port'): KunitSuite<TestThread> {
  return { name: 'heki', cases: CASES.map((one) => ({ name: one.name, run: one[version] })) };
}

/** The test of Heki v3. */
export const HEKI_V3_SUITE: KunitSuite<TestThread> = {
  name: 'heki_v3',
  cases: [{ name: 'test_cr_disable_smep', run: crDisableSmepV3 }],
};
