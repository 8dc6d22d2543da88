import type { LinuxKernel } from '@heki/linux';
import { type Attack, type MachineSettings, processorName, processorOf } from '@heki/machine';
import {
  describeNotTaken,
  describePageClass,
  describeRights,
  describeStep,
  isAttack,
  type PageClass,
  type ScenarioResult,
  type StepResult,
} from '@heki/scenario';
import type { Backend } from '../backend.ts';
import type { Colours } from '../colours.ts';
import { profileText } from '../profile-text.ts';
import { count, number } from '../quantity.ts';
import type { Screen } from '../report/screen.ts';
import { table } from '../report/table.ts';
import { SECOND_LEVEL_NAMES } from '../second-level-names.ts';
import { type Verdict, verdictLines } from '../verdict/verdict.ts';
import { rangedWarningLines, type Warning, warningLines } from '../warning.ts';

/** A life of a kernel, for people. */
export interface BootReport extends ScenarioResult {
  readonly settings: MachineSettings;
  readonly backend: Backend;
  /** Those that steps could name, beside those that come with heki. */
  readonly attacks: readonly Attack[];
  readonly kernel: string;
  /** The outcome of Heki's two steps of boot. */
  readonly hekiInit: LinuxKernel['hekiInit'];
  /** The kernel's log. */
  readonly log: readonly string[];
  /** Page lists that the hypervisor got, and how many it refused. */
  readonly pageLists: { readonly sent: number; readonly refused: number };
  readonly verdict: Verdict;
  /** What a reader must know of the rights that pages have in the end. */
  readonly warnings: readonly Warning[];
}

/** The report as text. */
export function bootText(report: BootReport, screen: Screen): string[] {
  const { colours } = screen;
  const { bold, dim, green, red, yellow } = colours;
  const { settings } = report;
  const { memory, vcpus, hypervisor, mbec, hlat, authenticate, cpu, levels, kaslrSeed, commandLine } =
    settings;
  const { control } = SECOND_LEVEL_NAMES[processorOf(cpu).vendor];
  const machine = [
    `${memory}, ${vcpus} CPU${vcpus === 1 ? '' : 's'}, ${levels}-level paging`,
    ...(kaslrSeed === undefined ? [] : [`KASLR seed ${kaslrSeed}`]),
  ];
  const lines = [
    `${bold('Boot')} of ${report.kernel} ${dim(commandLine)}`.trimEnd(),
    `  ${dim('machine    ')}${machine.join(', ')}`,
    `  ${dim('processor  ')}${processorName(cpu)}`,
    `  ${dim('hypervisor ')}${hypervisor === 'none' ? 'KVM without Heki' : `${hypervisor}, ${mbec ? '' : 'no '}${control}${hlat ? ', HLAT' : ''}${authenticate ? ', code authenticated' : ''}; profile ${profileText(settings)}`}`,
    '',
    ...report.log.map((line) => dim(`  ${line}`)),
  ];
  if (report.boot !== 'works') lines.push(red(`Boot ends: ${report.bootReason}`));
  if (report.steps.length > 0) lines.push('', ...stepLines(report.steps, colours));
  lines.push(...describeNotTaken(report.notTaken).map((line) => yellow(`  ${line}`)));
  if (report.classes.length > 0) lines.push('', ...classTable(report.classes, screen));
  lines.push(...report.expectedRights.map((one) => (one.expected ? green : red)(`  ${describeRights(one)}`)));
  const { sent, refused } = report.pageLists;
  lines.push(
    `${count(sent, 'page list')} to the hypervisor${refused === 0 ? '' : `, ${red(`${number(refused)} refused`)}`}`,
  );
  lines.push(...warningLines(report.warnings, colours), ...rangedWarningLines(report.warnings, colours));
  const verdict = verdictLines(report.verdict, colours);
  if (verdict.length > 0) lines.push('', ...verdict);
  return lines;
}

function stepLines(steps: readonly StepResult[], { green, red, yellow }: Colours): string[] {
  return steps.map((result) => {
    const { step, verdict, expected } = result;
    const good = verdict === (isAttack(step) ? 'blocked' : 'works');
    const colour = !expected ? red : good ? green : yellow;
    return colour(`  ${describeStep(result)}`);
  });
}

function classTable(classes: readonly PageClass[], screen: Screen): string[] {
  const { red, yellow, green } = screen.colours;
  const rows = classes.map((pageClass) => {
    const { name, pages, mappings, granted, finding } = describePageClass(pageClass);
    const { excess, writableAndExecutable, withheld } = pageClass;
    const colour = writableAndExecutable + withheld > 0 ? red : excess > 0 ? yellow : green;
    return [name, pages, mappings, granted, colour(finding)];
  });
  return table(
    { head: ['pages', 'count', 'mappings allow', 'hypervisor grants', ''], rows, right: [1] },
    screen,
  );
}
