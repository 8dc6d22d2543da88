import { type Alias, rightsText, type Severity } from '@heki/audit';
import type { ComparedModule, ComparedPart, ImageComparison, UpdatedStaticCall } from '@heki/patch-sites';
import { hex, PAGE_SIZE, virtualAddressOf } from '@heki/physical-memory';
import type { Colours } from '../colours.ts';
import { printable } from '../printable.ts';
import { count, number } from '../quantity.ts';
import type { Screen } from '../report/screen.ts';
import { tablesLines } from '../snapshot.ts';
import { warningLines } from '../warning.ts';
import { type HekiReport, hekiFacts, readinessText } from './heki-report.ts';
import { memoryPicture } from './memory-picture.ts';
import { type AuditReport, auditWarnings, type JudgedFinding, sectionsText, verdictText } from './report.ts';

/** Ranges and aliases of a finding that are listed; --json has all. */
const LISTED = 4;

/** The report as people read it: the verdict, a picture, then the findings. */
export function auditText(report: AuditReport, { colours, columns }: Screen): string[] {
  const { bold, red, green } = colours;
  const verdict = report.fails
    ? red(bold(`FAILS: ${verdictText(report)}`))
    : green(bold(`passes: ${verdictText(report)}`));
  const { mappings, contents } = report.audit.kernel;
  const lines = [
    verdict,
    '',
    ...(report.redact ? [] : sourceLines(report)),
    `${number(mappings.length)} leaves; text and constants by ${sectionsText(report)}`,
    ...(contents === undefined ? [] : contentsLines(contents)),
    ...warningLines(
      [...auditWarnings(report.subject, report.redact, contents), ...(report.heki?.warnings ?? [])],
      colours,
    ),
    // Where code lies in the picture tells where KASLR put the image.
    ...(report.redact
      ? []
      : [
          '',
          ...memoryPicture(report.audit, report.subject.memoryMap.ramEnd, Math.min(columns, 80), colours),
        ]),
    ...report.findings.flatMap((finding) => ['', ...findingLines(finding, report.redact, colours)]),
    '',
    ...(report.heki === undefined ? [] : [...hekiLines(report.heki, report.redact, colours), '']),
    ...(report.unusedBaseline === 0
      ? []
      : [`${count(report.unusedBaseline, 'entry', 'entries')} of the baseline accept nothing any more`]),
    'heki explain ID says more of a finding',
  ];
  return lines;
}

/** What Heki would do, the verdict first. */
function hekiLines(heki: HekiReport, redact: boolean, { bold, green, yellow, red, dim }: Colours): string[] {
  const { inForce, work, open } = heki.result;
  const colourOf = { works: green, refused: yellow, breaks: red } as const;
  return [
    `${bold('Under Heki:')} ${readinessText(heki, redact)}`,
    ...hekiFacts(heki).map(([name, value]) => `    ${dim(name.padEnd(18))}${value}`),
    ...(inForce
      ? work.map(
          ({ title, outcome, pages, why }) =>
            `    ${colourOf[outcome](outcome.padEnd(8))} ${title}${pages === 0 ? '' : ` (${count(pages, 'page')})`}: ${why}`,
        )
      : []),
    ...open.map(({ text }) => `    ${yellow('open')}     ${text}`),
  ];
}

function sourceLines({ subject }: AuditReport): string[] {
  return [`${subject.name}: ${subject.kernel}`, ...tablesLines(subject.tables)];
}

/** What the comparison with the image came to. */
function contentsLines(contents: ImageComparison): string[] {
  const [code, ...others] = contentsFacts(contents).map(([name, text]) => `${name}: ${text}`);
  return [...(code === undefined ? [] : [code]), ...updatedText(contents.text.updatedStaticCalls), ...others];
}

/** The same, what was compared beside the words; the code first. */
export function contentsFacts({
  text,
  constants,
  modules = [],
  modulesLeftOut = [],
}: ImageComparison): (readonly [name: string, text: string])[] {
  const words = ({ compared, differing, explained, unexplained }: ComparedPart): string => {
    const why = [...explained].filter(([, bytes]) => bytes > 0).sort((a, b) => b[1] - a[1]);
    const known = why.map(([kind, bytes]) => `${kind} ${number(bytes)}`).join(', ');
    const rest = unexplained.reduce((sum, { start, end }) => sum + end - start, 0);
    return `${number(compared)} bytes compared with the image, ${number(differing)} differ (${known === '' ? '' : `${known}, `}unexplained ${number(rest)})`;
  };
  const leftOut =
    modulesLeftOut.length === 0
      ? ''
      : `; of ${number(modulesLeftOut.length)} more the package has no file of that build`;
  return [
    ['code', words(text)],
    ...(constants === undefined ? [] : [['constants', words(constants)] as const]),
    ...(modules.length + modulesLeftOut.length === 0
      ? []
      : [['modules', `${modulesText(modules)}${leftOut}`] as const]),
  ];
}

/** Code and constants of the modules, all together. */
function modulesText(modules: readonly ComparedModule[]): string {
  const sum = (of: (module: ComparedModule) => number) =>
    number(modules.reduce((all, one) => all + of(one), 0));
  const rest = sum(({ unexplained }) => unexplained.reduce((all, { start, end }) => all + end - start, 0));
  return `of ${number(modules.length)} ${sum(({ compared }) => compared)} bytes compared with their files, ${sum(({ differing }) => differing)} differ (unexplained ${rest})`;
}

/** Static calls that the guest's own memory alone explains. */
function updatedText(calls: readonly UpdatedStaticCall[]): string[] {
  if (calls.length === 0) return [];
  const named = calls
    .slice(0, LISTED)
    .map(({ name = '?', leadsTo = 'code out of the image' }) => printable(`${name} to ${leadsTo}`));
  const more = calls.length > LISTED ? ` and ${count(calls.length - LISTED, 'more', 'more')}` : '';
  const lead = calls.length === 1 ? 'static call leads' : 'static calls lead';
  return [
    `${number(calls.length)} ${lead} where the image does not name it, which was not judged: ${named.join(', ')}${more}${more === '' ? '' : ' (--json lists them)'}`,
  ];
}

function findingLines(finding: JudgedFinding, redact: boolean, colours: Colours): string[] {
  const { severity, id, summary, ranges, aliases, aliasesLeftOut, accepted } = finding;
  const mark = severityText(severity, colours);
  const note = accepted === undefined ? '' : colours.dim(` (accepted: ${accepted})`);
  const more = (all: number, what: string): string[] =>
    all > LISTED ? [`    and ${count(all - LISTED, `more ${what}`)} (--json lists them)`] : [];
  return [
    `${mark} ${colours.bold(finding.title)} ${colours.dim(id)}${note}`,
    `    ${summary}`,
    ...(redact
      ? []
      : [
          ...ranges
            .slice(0, LISTED)
            .map(
              ({ start, end }) => `    guest-physical ${hex(start * PAGE_SIZE)}-${hex(end * PAGE_SIZE - 1)}`,
            ),
          ...more(ranges.length, 'range'),
          ...aliases.slice(0, LISTED).map((alias) => `    ${aliasText(alias)}`),
          ...more(aliases.length + aliasesLeftOut, 'mapping'),
        ]),
  ];
}

function aliasText({ start, end, region, symbol, leaf, effective }: Alias): string {
  const differs = leaf === effective ? '' : `, leaf ${rightsText(leaf)}`;
  return `mapped ${rightsText(effective)} at ${hex(virtualAddressOf(start))}, ${count(end - start, 'page')}, ${region}${symbol === undefined ? '' : `, ${printable(symbol)}`}${differs}`;
}

function severityText(severity: Severity, { red, yellow, cyan, dim, bold }: Colours): string {
  const text = severity.toUpperCase().padEnd(8);
  switch (severity) {
    case 'critical':
      return red(bold(text));
    case 'high':
      return red(text);
    case 'medium':
      return yellow(text);
    case 'low':
      return cyan(text);
    case 'info':
      return dim(text);
  }
}
