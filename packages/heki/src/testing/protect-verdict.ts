import { expect } from 'vitest';
import { type CommandResult, type Fixture, fixturePath, ranOnce, runCommand } from './run-command.ts';

/** What `heki protect --json` prints, as far as tests that compare verdicts look at it. */
interface ProtectReport {
  readonly tables: { readonly from: string; readonly root: string };
  readonly memoryMap: object;
  readonly processor: {
    readonly name: string;
    readonly lacking: readonly string[];
    readonly eferFrom: string | null;
  };
  readonly pages: Readonly<Record<string, number>>;
  readonly controlRegisters: unknown;
  readonly earlyInit: unknown;
  readonly hypercalls: readonly { readonly nr: number; readonly result: number }[];
  readonly attacks: readonly {
    readonly name: string;
    readonly standing: string;
    readonly without: { readonly outcome: string; readonly by: string | null };
    readonly with: { readonly outcome: string; readonly by: string | null };
  }[];
  readonly outsideDirectMap: unknown;
  readonly crashKernel: { readonly readOnlyPages: number; readonly immutablePages: number };
  readonly warnings: readonly { readonly id: string }[];
}

/** How `heki protect --json` ended. */
export interface ProtectAnswer {
  readonly exitCode: number;
  readonly stderr: string;
  readonly report: ProtectReport | undefined;
}

/** Runs `heki protect` on a snapshot. */
export async function protectReport(snapshot: string, ...options: readonly string[]): Promise<ProtectAnswer> {
  return answerOf(await runCommand(['protect', snapshot, '--json', ...options]));
}

function answerOf({ exitCode, stdout, stderr }: CommandResult): ProtectAnswer {
  return { exitCode, stderr, report: stdout === '' ? undefined : JSON.parse(stdout) };
}

/** What it says of a snapshot, without addresses and names. */
export async function protectVerdict(snapshot: string, ...options: readonly string[]): Promise<unknown> {
  return verdictOf(await protectReport(snapshot, ...options));
}

/** What it said, without addresses and names. */
export function verdictOf({ exitCode, stderr, report }: ProtectAnswer): unknown {
  return {
    exitCode,
    stderr,
    pages: report?.pages,
    processor: { ...report?.processor, eferFrom: undefined },
    controlRegisters: report?.controlRegisters,
    earlyInit: report?.earlyInit,
    hypercalls: report?.hypercalls.map(({ nr, result }) => [nr, result]),
    attacks: report?.attacks.map((attack) => [
      ...[attack.name, attack.standing, attack.without.outcome, attack.without.by],
      ...[attack.with.outcome, attack.with.by],
    ]),
    crashKernel: [report?.crashKernel.readOnlyPages, report?.crashKernel.immutablePages],
    warnings: report?.warnings.map(({ id }) => id),
  };
}

/**
 * The extract of a kernel that is written to `path` must get its verdict: all that is said of it but for names of files, and where it is
 * redacted also but for addresses.
 */
export async function expectSameVerdict(
  name: Fixture,
  path: string,
  ...options: readonly '--redact'[]
): Promise<void> {
  const { exitCode, stderr } = await runCommand([
    ...['extract', fixturePath(name), '-o', path, '--force'],
    ...options,
  ]);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  const snapshot = answerOf(await ranOnce('protect', fixturePath(name), '--json'));
  const extract = await protectReport(path);
  const said = options.includes('--redact') ? verdictOf : withoutFiles;
  expect(said(extract)).toEqual(said(snapshot));
}

function withoutFiles({ report, ...rest }: ProtectAnswer): unknown {
  expect(report).toBeDefined();
  return {
    ...rest,
    ...report,
    snapshot: undefined,
    memoryMap: { ...report?.memoryMap, from: undefined },
    processor: { ...report?.processor, eferFrom: report?.processor.eferFrom !== null },
  };
}
