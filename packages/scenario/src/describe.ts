import { actionText } from './action-text.ts';
import type { ComposedScenario } from './composed-scenario.ts';
import type { RightsVerdict } from './expect-rights.ts';
import type { PageClass } from './page-classes.ts';
import { expectedVerdict, type ScenarioResult, type StepResult } from './run-scenario.ts';
import type { Step } from './schema/step-schema.ts';

/** A {@link PageClass} in words. */
export interface PageClassText {
  readonly name: string;
  readonly pages: string;
  /** What the mappings allow: `r-x`, or how many pages have what. */
  readonly mappings: string;
  readonly granted: string;
  /** Where the two differ, or `as mapped`. */
  readonly finding: string;
}

/** A life in lines of text: the outcomes of its steps, and a table of the pages in the end. */
export function describeScenario({ title }: ComposedScenario, result: ScenarioResult): string[] {
  const { boot, bootReason, steps, classes } = result;
  const head = {
    name: 'pages',
    pages: 'count',
    mappings: 'mappings allow',
    granted: 'hypervisor grants',
    finding: '',
  };
  const rows = classes.length === 0 ? [] : [head, ...classes.map(describePageClass)];
  const width = (column: keyof PageClassText): number => Math.max(...rows.map((row) => row[column].length));
  return [
    ...(title === undefined ? [] : [title]),
    ...steps.map((step) => `  ${describeStep(step)}`),
    ...describeNotTaken(result.notTaken).map((line) => `  ${line}`),
    ...(boot === 'works' ? [] : [`  boot: ${boot}: ${bootReason}`]),
    ...rows.map(({ name, pages, mappings, granted, finding }) =>
      [
        ` ${name.padEnd(width('name'))}`,
        pages.padStart(width('pages')),
        mappings.padEnd(width('mappings')),
        granted.padEnd(width('granted')),
        finding,
      ]
        .join('  ')
        .trimEnd(),
    ),
    ...result.expectedRights.map((verdict) => `  ${describeRights(verdict)}`),
  ];
}

/** How many of the steps that were not taken are named. */
const NAMED = 3;

/** The steps that were not taken any more, in a line; no line when all were. */
export function describeNotTaken(notTaken: readonly Step[]): string[] {
  if (notTaken.length === 0) return [];
  const more = notTaken.length > NAMED ? ` and ${number(notTaken.length - NAMED)} more` : '';
  return [`not taken: ${notTaken.slice(0, NAMED).map(actionText).join('; ')}${more}`];
}

/** What a scenario expects of rights, and what is granted: `r-x      module m text`. */
export function describeRights({ of, expects, granted, expected, reason }: RightsVerdict): string {
  const found = reason ?? histogram(new Map(Object.entries(granted)));
  return `${expected ? 'granted ' : 'differs '} ${of}: ${expects}${expected ? '' : ` (${found})`}`;
}

/** A step and its outcome: `works    load-module driver`. */
export function describeStep({ step, verdict, reason, expected }: StepResult): string {
  const words = `${verdict.padEnd(8)} ${actionText(step)}${reason === undefined ? '' : `: ${reason}`}`;
  if (!expected) return `${words} (expected: ${expectedVerdict(step)})`;
  return step.expect === undefined ? words : `${words} (expected)`;
}

/** A kind of pages in words. */
export function describePageClass(pageClass: PageClass): PageClassText {
  const { name, pages, mappings, granted, excess, writableAndExecutable, withheld } = pageClass;
  const findings = [
    ...(writableAndExecutable > 0 ? [`${number(writableAndExecutable)} writable and executable`] : []),
    ...(excess > writableAndExecutable
      ? [`${number(excess - writableAndExecutable)} with more than any mapping has`]
      : []),
    ...(withheld > 0 ? [`${number(withheld)} without what a mapping has`] : []),
  ];
  return {
    name,
    pages: number(pages),
    mappings: histogram(mappings),
    granted: histogram(granted),
    finding: findings.join(', ') || 'as mapped',
  };
}

function histogram(counts: ReadonlyMap<string, number>): string {
  const [only, ...others] = [...counts].sort(([, a], [, b]) => b - a);
  if (only === undefined) return '';
  if (others.length === 0) return only[0];
  return [only, ...others].map(([letters, pages]) => `${number(pages)} ${letters}`).join(', ');
}

function number(value: number): string {
  return value.toLocaleString('en-US');
}
