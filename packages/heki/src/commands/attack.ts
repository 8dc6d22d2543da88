import {
  ATTACK_MACHINES,
  CATALOGUE,
  type Matrix,
  type MatrixOptions,
  NotExpressible,
  runMatrix,
  type SnapshotKernel,
} from '@heki/attacks';
import { nearMatches } from '@heki/series';
import { attackHtml } from '../attack/attack-html.ts';
import { attackJson, attackListJson } from '../attack/attack-json.ts';
import { attackMarkdown } from '../attack/attack-markdown.ts';
import { attackListing, attackText } from '../attack/attack-text.ts';
import { labBackend } from '../attack/lab-backend.ts';
import { runInRowThreads, threadsFor } from '../attack/run-in-row-threads.ts';
import { unkeptClaims } from '../attack/unkept-claims.ts';
import { ExitCode, InputError, UsageError } from '../failure.ts';
import type { CommandIo } from '../io.ts';
import { filesOfDump, refuseInputs, writeFiles } from '../output-file.ts';
import { createProgress } from '../progress.ts';
import { writeReport } from '../report/write-report.ts';

/** Options of `heki attack`. */
export interface AttackOptions {
  readonly machine?: readonly string[];
  readonly prove?: boolean;
  readonly list?: boolean;
  readonly json?: boolean;
  readonly markdown?: string;
  readonly html?: string;
  /** A real kernel's memory instead of a kernel that boots. */
  readonly snapshot?: string;
  readonly memoryMap?: string;
}

/** `heki attack [NAME...]`. Exit code 1 when an attack succeeds that a machine claims to stop, but on those that are there to show their defects. */
export async function attack(
  names: readonly string[],
  options: AttackOptions,
  io: CommandIo,
): Promise<number> {
  if (options.list === true) {
    if (names.length > 0) throw new UsageError(`--list ${names.join(' ')}: it lists all, expected no name`);
    await writeReport('attack-list', { json: attackListJson, text: attackListing }, options, io);
    return ExitCode.SUCCESS;
  }
  refuseInputs(
    [
      ['--markdown', options.markdown],
      ['--html', options.html],
    ],
    [...(options.snapshot === undefined ? [] : filesOfDump(options.snapshot)), options.memoryMap],
  );
  const attacks = named('attack', CATALOGUE, names);
  const subject = await snapshotOf(options);
  // One that was booted already has its own command line, and nobody signed its code.
  const all = ATTACK_MACHINES.filter(
    ({ machine }) =>
      subject === undefined || (machine.commandLine === undefined && machine.authenticate !== true),
  );
  const machines = named('--machine', all, options.machine ?? []);
  const attempts = attacks.length * machines.length;
  const progress = createProgress(io, { what: 'attacking', total: attempts });
  let done = 0;
  const prove = options.prove ?? false;
  const { threadEntry } = io;
  const threads = subject === undefined ? threadsFor(attempts) : 0;
  const matrix =
    threadEntry === undefined || threads === 0
      ? attackHere(options.snapshot, {
          attacks,
          machines,
          prove,
          findBackend: labBackend,
          snapshot: subject?.kernel,
          onCell: ({ name }) => progress.update(done++, name),
        })
      : await runInRowThreads(threadEntry, threads, {
          attacks,
          machines,
          prove,
          onRow({ name }) {
            done += machines.length;
            progress.update(done, name);
          },
        });
  progress.stop();
  const files = [
    ...(options.markdown === undefined
      ? []
      : [{ path: options.markdown, lines: attackMarkdown(matrix, subject?.of) }]),
    ...(options.html === undefined ? [] : [{ path: options.html, lines: attackHtml(matrix, subject?.of) }]),
  ];
  await writeFiles(
    files.map(({ path, lines }) => ({ path, chunks: [Buffer.from(`${[...lines].join('\n')}\n`)] })),
    true,
  );
  await writeReport(
    'attack',
    {
      json: () => attackJson(matrix, subject?.of),
      text: (screen) => attackText(matrix, names.length > 0, screen, subject?.of),
    },
    options,
    io,
  );
  return unkeptClaims(matrix).length === 0 ? ExitCode.SUCCESS : ExitCode.FAILURE;
}

/** @throws {InputError} for a snapshot whose kernel has no place for what is attacked */
function attackHere(snapshot: string | undefined, matrix: MatrixOptions): Matrix {
  try {
    return runMatrix(matrix);
  } catch (error) {
    if (!(error instanceof NotExpressible)) throw error;
    throw new InputError(error.message, { file: snapshot });
  }
}

/** What is known of the kernel that a snapshot holds, and how it is told. */
async function snapshotOf({
  snapshot,
  memoryMap,
}: AttackOptions): Promise<{ readonly kernel: SnapshotKernel; readonly of: string } | undefined> {
  if (snapshot === undefined) {
    if (memoryMap !== undefined)
      throw new UsageError(`--memory-map ${memoryMap}: that of a snapshot, expected --snapshot, too`);
    return undefined;
  }
  const { openSubject } = await import('../protect/open-subject.ts');
  const subject = await openSubject(snapshot, memoryMap === undefined ? {} : { memoryMap });
  const { tables, crashKernel, processor, name, kernel } = subject;
  return {
    kernel: { kernel: tables, memoryMap: subject.memoryMap, crashKernel, registers: processor.registers },
    of: `${name}, ${kernel}`,
  };
}

/** Those of `known` that are named, in their own order; all when none is. @throws {UsageError} for a name that there is none of */
function named<Known extends { readonly name: string }>(
  what: string,
  known: readonly Known[],
  names: readonly string[],
): readonly Known[] {
  for (const name of names) {
    if (known.some((one) => one.name === name)) continue;
    const all = known.map((one) => one.name);
    const near = nearMatches(name, all);
    const expected = near.length > 0 ? near : all.slice(0, 8);
    throw new UsageError(
      `${what} ${name}: there is none, expected ${expected.join(', ')}${near.length > 0 ? '' : ', ... (heki attack --list)'}`,
    );
  }
  return names.length === 0 ? known : known.filter(({ name }) => names.includes(name));
}
