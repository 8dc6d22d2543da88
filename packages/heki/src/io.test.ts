import { Writable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { OutputClosed, processOutput } from './io.ts';

/** A stream whose writes fail with `code`. */
const failing = (code: string): Writable =>
  new Writable({ write: (_chunk, _encoding, done) => done(Object.assign(new Error(code), { code })) });

describe('a write to the output', () => {
  test('whose reader is gone ends the work quietly, and so does every later one', async () => {
    const output = processOutput(failing('EPIPE'));
    await expect(output.write('a')).rejects.toThrow(OutputClosed);
    await expect(output.write('b')).rejects.toThrow(OutputClosed);
  });

  test('that fails otherwise is an error: what was to be kept is not', async () => {
    await expect(processOutput(failing('ENOSPC')).write('a')).rejects.toMatchObject({ code: 'ENOSPC' });
  });
});
