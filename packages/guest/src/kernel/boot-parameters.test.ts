import { describe, expect, test } from 'vitest';
import { parseBootParameters } from '../index.ts';

describe('the command line', () => {
  test('leaves Heki on and runs no test when it says nothing of it', () => {
    expect(parseBootParameters('console=ttyS0 nokaslr heki_other=1 xheki=0')).toEqual({
      enabled: true,
      test: 0,
      log: [],
    });
    expect(parseBootParameters('')).toEqual({ enabled: true, test: 0, log: [] });
  });

  test.each([
    ['heki=0', false],
    ['heki=off', false],
    ['heki=No', false],
    ['heki=f', false],
    ['heki=1', true],
    ['heki=on', true],
    ['heki=Y', true],
    ['heki=0 heki=y', true],
    ['heki=y\theki=n', false],
  ])('%s', (commandLine, enabled) => {
    expect(parseBootParameters(commandLine)).toEqual({ enabled, test: 0, log: [] });
  });

  test('chooses a test', () => {
    expect(parseBootParameters('quiet heki_test=3').test).toBe(3);
    expect(parseBootParameters('heki_test=3 heki_test=1').test).toBe(1);
  });

  test('has values that make no sense logged and changes nothing', () => {
    expect(
      parseBootParameters('heki=maybe heki_test=two heki=o heki_test=-1 heki_test=18446744073709551616'),
    ).toEqual({
      enabled: true,
      test: 0,
      log: [
        "heki-guest: Invalid option string for heki: 'maybe'",
        "heki-guest: Invalid option string for heki_test: 'two'",
        "heki-guest: Invalid option string for heki: 'o'",
        "heki-guest: Invalid option string for heki_test: '-1'",
        "heki-guest: Invalid option string for heki_test: '18446744073709551616'",
      ],
    });
  });
});
