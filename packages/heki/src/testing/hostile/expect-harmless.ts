import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { HostileCase } from './hostile-case.ts';
import { faultOf, runBatches } from './run-batches.ts';

/** Runs the command lines, with a folder for their files, in two processes; none may do harm. */
export async function expectHarmless(casesIn: (folder: string) => readonly HostileCase[]): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'heki-hostile-'));
  try {
    const cases = casesIn(folder);
    const results = await runBatches(folder, cases, 2);
    const faults = results.flatMap((result) => {
      const fault = faultOf(result);
      return fault === undefined ? [] : [{ command: result.args.join(' '), fault }];
    });
    expect(faults).toEqual([]);
    expect(results).toHaveLength(cases.length);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
