import type { Workload, WorkloadOutcome, WorkloadSetting } from '@heki/scenario';
import Table from 'cli-table3';
import type { Colours } from '../colours.ts';
import { number } from '../quantity.ts';

/** Work and what became of it in each setting, in the order of the settings. */
export interface WorkloadRow {
  readonly workload: Workload;
  readonly outcomes: readonly WorkloadOutcome[];
}

/** The matrix for people. */
export function workloadText(
  settings: readonly WorkloadSetting[],
  rows: readonly WorkloadRow[],
  colours: Colours,
): string {
  const { bold, dim, green, yellow, red } = colours;
  const table = new Table({
    head: ['work', ...settings.map(({ name }) => name)].map((head) => bold(head)),
    style: { head: [], border: [] },
  });
  const mark = { works: green('✔ works'), refused: yellow('– refused'), breaks: red('✘ breaks') };
  for (const { workload, outcomes } of rows) {
    table.push([
      workload.name,
      ...outcomes.map(({ verdict, writableAndExecutable: pages }) =>
        pages === 0 ? mark[verdict] : `${mark[verdict]}\n${dim(`${number(pages)} rwx`)}`,
      ),
    ]);
  }
  const reasons = rows.flatMap(({ workload, outcomes }) =>
    outcomes.flatMap(({ reason }, index) =>
      reason === undefined ? [] : [`  ${workload.name}, ${settings[index]?.name}: ${reason}`],
    ),
  );
  return [
    table.toString(),
    dim('rwx: pages that the kernel may write and execute in the end, though no mappings allow both.'),
    ...(reasons.length === 0 ? [] : ['', ...reasons]),
    '',
  ].join('\n');
}
