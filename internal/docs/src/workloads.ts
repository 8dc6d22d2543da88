import { WORKLOADS } from '@heki/scenario';
import { once } from './once.ts';
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

const results = once(
  async (): Promise<readonly WorkloadResult[]> =>
    JSON.parse(await printedWithFindings(['boot', '--workload', 'all', '--json'])).workloads,
);
const settings = async (): Promise<readonly string[]> => Object.keys((await results())[0]?.outcomes ?? {});

/** Legitimate work over all settings. */
export const workloadsPage: Page = { file: 'docs/workloads.md', parts: { matrix, work, reasons } };

async function matrix(): Promise<string> {
  const columns = await settings();
  return markdownTable(
    ['', ...columns],
    (await results()).map(({ workload, outcomes }) => [
      workload,
      ...columns.map((setting) => {
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

async function reasons(): Promise<string> {
  const columns = await settings();
  return markdownTable(
    ['work', 'setting', 'ends with'],
    (await results()).flatMap(({ workload, outcomes }) =>
      columns.flatMap((setting) => {
        const reason = outcomes[setting]?.reason;
        return reason === undefined ? [] : [[workload, setting, reason]];
      }),
    ),
  );
}
