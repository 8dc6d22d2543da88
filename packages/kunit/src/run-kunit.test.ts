import { describe, expect, test } from 'vitest';
import { KunitError, kunitTests } from './index.ts';
import { parseKtap } from './testing/ktap-parser.ts';
import { runIn } from './testing/outcomes.ts';

describe('a run', () => {
  test('is KTAP, with the suites as groups and their tests in them', () => {
    const { lines, results } = runIn({}, { suites: ['heki', 'heki_v3'] });
    const parsed = parseKtap(lines);
    expect(parsed.map(({ name, status }) => [name, status])).toEqual([
      ['heki', 'ok'],
      ['heki_v3', 'ok'],
    ]);
    expect(parsed.map(({ tests }) => tests?.map(({ name }) => name))).toEqual([
      kunitTests('heki'),
      kunitTests('heki_v3'),
    ]);
    expect(parsed[0]?.tests?.[2]?.diagnostics[0]).toBe('heki-guest: Running test #3');
    expect(results.map(({ status }) => status)).toEqual(['ok', 'ok']);
  });

  test('is of one test alone when its number is given', () => {
    const { lines, results } = runIn({ profile: 'rfc-v2' }, { suites: ['heki'], test: 4 });
    expect(lines).toContain('    1..1');
    expect(lines).toContain('    not ok 1 heki_test_exec');
    expect(results[0]?.cases.map(({ name }) => name)).toEqual(['heki_test_exec']);
  });

  test('refuses a test that there is not', () => {
    expect(() => runIn({}, { suites: ['heki'], test: 5 })).toThrow(
      new KunitError('test 5 of heki: expected 1 to 4'),
    );
    expect(() => runIn({}, { suites: ['heki'], test: 0 })).toThrow(KunitError);
  });
});
