import { describe, expect, test } from 'vitest';
import { runCase, ThreadEnd } from './run-case.ts';
import type { Kunit } from './suite.ts';

const result = (run: (test: Kunit) => void) =>
  runCase(
    { name: 'one', run },
    () => undefined,
    () => {},
  );

describe('a test', () => {
  test('passes when nothing it expects is missed', () => {
    const one = result((kunit) => {
      kunit.expect(true, 'x', 'y');
      kunit.assert(true, 'x', 'y');
      kunit.log('all well');
    });
    expect(one).toEqual({
      name: 'one',
      status: 'ok',
      log: ['one: all well'],
      skipped: undefined,
      ended: undefined,
    });
  });

  test('goes on after a failed expectation, and ends at a failed assertion', () => {
    const one = result((kunit) => {
      kunit.expect(false, 'a 1', 'it is 2');
      kunit.assert(false, 'a 3', 'it is 4');
      kunit.log('never');
    });
    expect(one.status).toBe('not ok');
    expect(one.log).toEqual([
      'one: EXPECTATION FAILED',
      '    Expected a 1, but it is 2',
      'one: ASSERTION FAILED',
      '    Expected a 3, but it is 4',
    ]);
  });

  test('is skipped with its reason, unless something failed before', () => {
    expect(result((kunit) => kunit.skip('no disk'))).toMatchObject({ status: 'skip', skipped: 'no disk' });
    const failed = result((kunit) => {
      kunit.expect(false, 'x', 'y');
      kunit.skip('no disk');
    });
    expect(failed).toMatchObject({ status: 'not ok', skipped: undefined });
  });

  test('fails when its thread ends, or does not start, with the reason', () => {
    const failed = { kind: 'stopped', why: 'no memory' } as const;
    const access = result(() => {
      throw new ThreadEnd('the store', failed);
    });
    expect(access).toMatchObject({ status: 'not ok', ended: failed });
    expect(access.log).toEqual(['one: try faulted: the store stopped the virtual machine: no memory']);
    const unstarted = runCase(
      { name: 'two', run: () => {} },
      () => {
        throw new ThreadEnd('the kernel does not boot', 'error');
      },
      () => {},
    );
    expect(unstarted).toMatchObject({ status: 'not ok', log: ['two: the kernel does not boot'] });
  });

  test('does not hide a mistake of its author', () => {
    expect(() =>
      result(() => {
        throw new RangeError('mistake');
      }),
    ).toThrow(RangeError);
  });
});
