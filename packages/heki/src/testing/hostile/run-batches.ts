import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { HostileCase } from './hostile-case.ts';

/** The outcome of one command line. */
export interface HostileResult {
  readonly args: HostileCase;
  /** `undefined` when the process ended in it, or was ended. */
  readonly exitCode: number | undefined;
  /** The beginning of what it printed. */
  readonly stdout: string;
  readonly stderr: string;
  /** Something of what it printed would reach a terminal as a command. */
  readonly control: boolean;
  /** Of processor time. */
  readonly seconds: number;
  /** The most memory that the process had until then. */
  readonly peakMebibytes: number;
}

const BATCH = fileURLToPath(new URL('run-batch.mjs', import.meta.url));
/** A command that has not ended by then never will, however busy the machine is. */
const LONGEST_MS = 120_000;

/** A hang, and too much memory: limits of every command line. */
const MOST_SECONDS = 10;
const MOST_MEBIBYTES = 512;

/** What is wrong with the outcome of a command line: nothing that is read may crash, hang, fill memory or reach a terminal. */
export function faultOf({
  exitCode,
  stdout,
  stderr,
  control,
  seconds,
  peakMebibytes,
}: HostileResult): string | undefined {
  if (exitCode === undefined) return 'it crashed, or never ended';
  if (exitCode > 3) return `exit code ${exitCode}`;
  // With --json an error is JSON on standard output.
  const said = exitCode > 1 ? `${stderr}${stdout}` : stderr;
  if (/internal error|\n {4}at /.test(said)) return said;
  if (control) return 'it printed control characters';
  if (exitCode > 1 && !/^heki: .|"message": "./.test(said)) return 'it failed without a word';
  if (seconds > MOST_SECONDS) return `it took ${seconds} seconds`;
  return peakMebibytes > MOST_MEBIBYTES ? `it took ${peakMebibytes} MiB of memory` : undefined;
}

/** Runs the command lines in `processes` processes at a time. */
export async function runBatches(
  folder: string,
  cases: readonly HostileCase[],
  processes: number,
): Promise<HostileResult[]> {
  const batches = Array.from({ length: processes }, (_, first) =>
    cases.filter((_, index) => index % processes === first),
  );
  const results = await Promise.all(
    batches.map((batch, index) => runBatch(join(folder, `batch-${index}.json`), batch)),
  );
  return results.flat();
}

/** Runs the command lines in one process after the other: a new one goes on where the last crashed, or took so much memory that it ended. */
async function runBatch(list: string, cases: readonly HostileCase[]): Promise<HostileResult[]> {
  const results: HostileResult[] = [];
  while (results.length < cases.length) {
    const more = await runProcess(list, cases.slice(results.length));
    if (more.length === 0) break;
    results.push(...more);
  }
  return results;
}

async function runProcess(list: string, cases: readonly HostileCase[]): Promise<HostileResult[]> {
  writeFileSync(list, JSON.stringify(cases));
  // More than this is a failure, and should not take the machine with it.
  const child = spawn(process.execPath, ['--max-old-space-size=2048', BATCH, list], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(child, 'close');
  const results: HostileResult[] = [];
  let running: HostileCase | undefined;
  let watch = endLater(child);
  for await (const line of createInterface({ input: child.stdout })) {
    clearTimeout(watch);
    watch = endLater(child);
    const message: { readonly begins: HostileCase } | HostileResult = JSON.parse(line);
    if ('begins' in message) running = message.begins;
    else {
      results.push(message);
      running = undefined;
    }
  }
  clearTimeout(watch);
  await ended;
  if (running !== undefined) {
    const nothing = { exitCode: undefined, stdout: '', stderr: '', control: false };
    results.push({ ...nothing, args: running, seconds: Number.NaN, peakMebibytes: Number.NaN });
  }
  return results;
}

function endLater(child: ChildProcess): NodeJS.Timeout {
  return setTimeout(() => child.kill('SIGKILL'), LONGEST_MS);
}
