import { describe, expect, test } from 'vitest';
import { outcomes, type Setting } from '../testing/outcomes.ts';

const NAMES = [
  'heki_test_cr_disable_smep',
  'heki_test_write_to_const',
  'heki_test_write_to_ro_after_init',
  'heki_test_exec',
];

/** How the four tests end, in their order, and their log. */
const run = (setting: Setting) => {
  const { ends, log } = outcomes(setting, 'heki');
  expect(Object.keys(ends)).toEqual(NAMES);
  return { ends: Object.values(ends), log };
};

describe('the four tests of the series', () => {
  const failed = ['not ok', 'not ok', 'not ok', 'not ok'];

  test.each<[string, Setting]>([
    ['without Heki in the hypervisor', { hypervisor: 'none', profile: 'rfc-v2' }],
    ['with heki=0', { profile: 'rfc-v2', commandLine: 'heki=0' }],
  ])('fail %s, each by what it did', (_, setting) => {
    const { ends, log } = run(setting);
    expect(ends).toEqual(failed);
    expect(log).toContain('heki_test_cr_disable_smep: ASSERTION FAILED');
    expect(log.match(/the first byte of the buffer still to be 0, but it is 0x11/g)).toHaveLength(2);
    expect(log).toContain('heki_test_exec: Result of execution: 3 + 1 = 4');
  });

  test('end under rfc-v2 with #GP and with retries for ever', () => {
    expect(run({ profile: 'rfc-v2' }).ends).toEqual([
      '#13(0x0)',
      'livelock #14(0x3)',
      'livelock #14(0x3)',
      'livelock #14(0x11)',
    ]);
  });

  test('have the function executed without MBEC', () => {
    expect(run({ profile: 'rfc-v2', mbec: false }).ends).toEqual([
      '#13(0x0)',
      'livelock #14(0x3)',
      'livelock #14(0x3)',
      'not ok',
    ]);
  });
});

describe('the ports of the four tests', () => {
  test('pass under hardened', () => {
    expect(run({}).ends).toEqual(['ok', 'ok', 'ok', 'ok']);
  });

  test('find without MBEC that the function was executed', () => {
    const { ends, log } = run({ mbec: false });
    expect(ends).toEqual(['ok', 'ok', 'ok', 'not ok']);
    expect(log).toContain('Result of execution: 3 + 1 = 4');
  });

  test.each<[string, Setting]>([
    ['without Heki in the hypervisor', { hypervisor: 'none' }],
    ['with heki=0', { commandLine: 'heki=0' }],
  ])('fail %s', (_, setting) => {
    const { ends, log } = run(setting);
    expect(ends).toEqual(['not ok', 'not ok', 'not ok', 'not ok']);
    expect(log).toContain('but it is 0x11');
  });
});

describe('the test of Heki v3', () => {
  test('passes wherever control registers are pinned', () => {
    expect(outcomes({}, 'heki_v3').ends).toEqual({ test_cr_disable_smep: 'ok' });
    expect(outcomes({ profile: 'rfc-v2' }, 'heki_v3').ends).toEqual({ test_cr_disable_smep: 'ok' });
  });

  test('fails without Heki', () => {
    expect(outcomes({ hypervisor: 'none' }, 'heki_v3').ends).toEqual({ test_cr_disable_smep: 'not ok' });
  });
});
