import type { PageClass, ScenarioResult, StepResult } from '@heki/scenario';
import Table from 'cli-table3';
import type { Colours } from '../colours.ts';
import { count, number } from '../quantity.ts';
import type { BootSettings } from './boot-machine.ts';

/** A life of a kernel, for people. */
export interface BootReport extends ScenarioResult {
  readonly settings: BootSettings;
  readonly kernel: string;
  /** The kernel's log. */
  readonly log: readonly string[];
  /** Page lists that the hypervisor got, and how many it refused. */
  readonly pageLists: { readonly sent: number; readonly refused: number };
}

/** The report as text. */
export function bootText(report: BootReport, colours: Colours): string {
  const { bold, dim, red } = colours;
  const { settings } = report;
  const { memory, vcpus, hypervisor, profile, mbec, levels, kaslrSeed, commandLine } = settings;
  const machine = [
    `${memory}, ${vcpus} CPU${vcpus === 1 ? '' : 's'}, ${levels}-level paging`,
    ...(kaslrSeed === undefined ? [] : [`KASLR seed ${kaslrSeed}`]),
  ];
  const lines = [
    `${bold('Boot')} of ${report.kernel} ${dim(commandLine)}`.trimEnd(),
    `  ${dim('machine    ')}${machine.join(', ')}`,
    `  ${dim('hypervisor ')}${hypervisor === 'none' ? 'KVM without Heki' : `${hypervisor}, ${mbec ? 'MBEC' : 'no MBEC'}; profile ${profile}`}`,
    '',
    ...report.log.map((line) => dim(`  ${line}`)),
  ];
  if (report.boot !== 'works') lines.push(red(`Boot ends: ${report.bootReason}`));
  if (report.steps.length > 0) lines.push('', ...stepLines(report.steps, colours));
  if (report.classes.length > 0) lines.push('', classTable(report.classes, colours));
  const { sent, refused } = report.pageLists;
  lines.push(
    `${count(sent, 'page list')} to the hypervisor${refused === 0 ? '' : `, ${red(`${number(refused)} refused`)}`}`,
  );
  return `${lines.join('\n')}\n`;
}

const MARKS = { works: '✔', blocked: '✔', error: '✘', oops: '✘✘' } as const;

function stepLines(steps: readonly StepResult[], { green, red, yellow }: Colours): string[] {
  return steps.map(({ step, verdict, reason, expected }) => {
    const { do: action, expect: _, ...details } = step;
    const what = `${action} ${Object.values(details).join(' ')}`.trim();
    const mark = MARKS[verdict];
    const text = `${mark} ${what}${reason === undefined ? '' : `: ${reason}`}`;
    if (!expected) return red(`${text}${verdict === 'works' ? ': works, which was not expected' : ''}`);
    const good = verdict === (step.do === 'attack' ? 'blocked' : 'works');
    return good ? green(text) : yellow(`${text} (expected)`);
  });
}

function classTable(classes: readonly PageClass[], { bold, red, yellow, green }: Colours): string {
  const table = new Table({
    head: ['pages', 'count', 'mappings allow', 'hypervisor grants', ''].map((head) => bold(head)),
    style: { head: [], border: [], compact: true },
    colAligns: ['left', 'right', 'left', 'left', 'left'],
  });
  for (const { name, pages, mappings, granted, excess, writableAndExecutable, withheld } of classes) {
    const notes: string[] = [];
    if (writableAndExecutable > 0)
      notes.push(red(`${number(writableAndExecutable)} writable and executable`));
    if (excess > writableAndExecutable)
      notes.push(yellow(`${number(excess - writableAndExecutable)} with more than any mapping has`));
    if (withheld > 0) notes.push(red(`${number(withheld)} without what a mapping has`));
    table.push([
      name,
      number(pages),
      histogram(mappings),
      histogram(granted),
      notes.length === 0 ? green('as mapped') : notes.join(', '),
    ]);
  }
  return table.toString();
}

function histogram(counts: ReadonlyMap<string, number>): string {
  const [only, ...others] = [...counts].sort(([, a], [, b]) => b - a);
  if (only === undefined) return '';
  if (others.length === 0) return only[0];
  return [only, ...others].map(([letters, pages]) => `${number(pages)} ${letters}`).join(', ');
}
