import { expect, test } from 'vitest';
import { InputError } from '../failure.ts';
import { OutputClosed } from '../io.ts';
import { reportFailure } from './failure-report.ts';
import { guardedIo } from './guarded-io.ts';

test.each([
  ['is full', new Error('ENOSPC'), '"message": "nope: no such file"'],
  ['has no reader any more', new OutputClosed(), ''],
])(
  'where standard output %s, the JSON of an error goes to standard error, or nowhere',
  async (_, why, expected) => {
    let told = '';
    const io = guardedIo(['walk', '--json'], {
      stdout: { isTerminal: false, columns: undefined, write: () => Promise.reject(why) },
      stderr: {
        isTerminal: false,
        columns: undefined,
        write: async (data) => {
          told += String(data);
        },
      },
      env: {},
    });
    expect(
      await reportFailure(new InputError('no such file', { file: 'nope' }), ['walk', '--json'], io),
    ).toBe(3);
    expect(told).toContain(expected);
    expect(told === '').toBe(expected === '');
  },
);
