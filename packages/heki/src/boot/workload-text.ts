import type { Workload, WorkloadOutcome, WorkloadSetting } from '@heki/scenario';
import { number } from '../quantity.ts';
import type { Screen } from '../report/screen.ts';
import { table } from '../report/table.ts';

/** Work and what became of it in each setting, in the order of the settings. */
export interface WorkloadRow {
  readonly workload: Workload;
  readonly outcomes: readonly WorkloadOutcome[];
}

/** The matrix for people. */
export function workloadText(
  settings: readonly WorkloadSetting[],
  rows: readonly WorkloadRow[],
  screen: Screen,
): string[] {
  const { dim, green, yellow, red } = screen.colours;
  const mark = { works: green('✔ works'), refused: yellow('– refused'), breaks: red('✘ breaks') };
  const matrix = {
    head: ['work', ...settings.map(({ name }) => name)],
    rows: rows.map(({ workload, outcomes }) => [
      workload.name,
      ...outcomes.map(({ verdict, writableAndExecutable: pages }) =>
        pages === 0 ? [mark[verdict]] : [mark[verdict], dim(`${number(pages)} rwx`)],
      ),
    ]),
    ruled: true,
  };
  const reasons = rows.flatMap(({ workload, outcomes }) =>
    outcomes.flatMap(({ reason }, index) =>
      reason === undefined ? [] : [`  ${workload.name}, ${settings[index]?.name}: ${reason}`],
    ),
  );
  return [
    ...table(matrix, screen),
    dim('rwx: pages that the kernel may write and execute in the end, though no mappings allow both.'),
    ...(reasons.length === 0 ? [] : ['', ...reasons]),
  ];
}
