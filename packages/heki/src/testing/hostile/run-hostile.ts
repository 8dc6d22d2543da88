import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { HostileCase } from './hostile-case.ts';
import { faultOf, runBatches } from './run-batches.ts';

/** The outcome of one kind of input. */
export interface HostileFindings {
  /** The command lines that there are, and those that ended. */
  readonly cases: number;
  readonly ran: number;
  readonly faults: readonly { readonly command: string; readonly fault: string }[];
}

/** Runs the command lines of each kind, with a folder for their files, in `processes` processes at a time. By the name of the kind. */
export async function runHostile(
  kinds: Readonly<Record<string, (folder: string) => readonly HostileCase[]>>,
  processes: number,
): Promise<Map<string, HostileFindings>> {
  const folder = mkdtempSync(join(tmpdir(), 'heki-hostile-'));
  try {
    const kindOf = new Map<string, string>();
    const cases = Object.entries(kinds).flatMap(([kind, casesIn], index) => {
      const own = join(folder, String(index));
      mkdirSync(own);
      return casesIn(own).map((args) => {
        kindOf.set(args.join('\0'), kind);
        return args;
      });
    });
    const results = await runBatches(folder, cases, processes);
    const found = new Map<string, HostileFindings>();
    for (const kind of Object.keys(kinds)) {
      const isOfKind = (args: HostileCase): boolean => kindOf.get(args.join('\0')) === kind;
      const ended = results.filter(({ args }) => isOfKind(args));
      const faults = ended.flatMap((result) => {
        const fault = faultOf(result);
        return fault === undefined ? [] : [{ command: result.args.join(' '), fault }];
      });
      found.set(kind, { cases: cases.filter(isOfKind).length, ran: ended.length, faults });
    }
    return found;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
