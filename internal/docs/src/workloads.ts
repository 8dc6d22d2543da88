import { WORKLOADS } from '@heki/scenario';
import { markdownTable, type Page } from './page.ts';
import { printedWithFindings } from './printed.ts';

/** What `heki boot --workload all --json` prints of one. */
interface WorkloadResult {
  readonly workload: string;
  readonly outcomes: Readonly<
    Record<
      string,
      { readonly verdict: string; readonly reason?: string; readonly writableAndExecutable: number }
    >
  >;
}

const results: readonly WorkloadResult[] = JSON.parse(
  await printedWithFindings(['boot', '--workload', 'all', '--json']),
).workloads;
const settings = Object.keys(results[0]?.outcomes ?? {});

/** Legitimate work over all settings. */
export const workloadsPage: Page = { file: 'docs/workloads.md', parts: { matrix, work, reasons } };

function matrix(): string {
  return markdownTable(
    ['', ...settings],
    results.map(({ workload, outcomes }) => [
      workload,
      ...settings.map((setting) => {
        const { verdict = '', writableAndExecutable: pages = 0 } = outcomes[setting] ?? {};
        const words = verdict === 'works' ? verdict : `**${verdict}**`;
        return pages === 0 ? words : `${words}<br>${pages.toLocaleString('en-US')} rwx`;
      }),
    ]),
  );
}

function work(): string {
  return markdownTable(
    ['work', 'what is done'],
    WORKLOADS.map(({ name, title }) => [`\`${name}\``, title]),
  );
}

function reasons(): string {
  return markdownTable(
    ['work', 'setting', 'ends with'],
    results.flatMap(({ workload, outcomes }) =>
      settings.flatMap((setting) => {
        const reason = outcomes[setting]?.reason;
        return reason === undefined ? [] : [[workload, setting, reason]];
      }),
    ),
  );
}
