import { runCommand } from './run-command.ts';

/** What `heki protect --json` prints, as far as tests that compare verdicts look at it. */
interface ProtectReport {
  readonly tables: { readonly from: string; readonly root: string };
  readonly processor: { readonly name: string; readonly lacking: readonly string[] };
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
  const { exitCode, stdout, stderr } = await runCommand(['protect', snapshot, '--json', ...options]);
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
