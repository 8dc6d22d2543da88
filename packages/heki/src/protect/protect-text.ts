import { type KernelConfig, PUBLISHED_LAYOUT } from '@heki/guest';
import { KvmHypercall } from '@heki/hypercall/kvm';
import type { Standing } from '@heki/machine';
import { hex } from '@heki/physical-memory';
import { bitNames, CR0_BITS, CR4_BITS } from '@heki/x86';
import { processorText } from '../assumed-processor.ts';
import type { Colours } from '../colours.ts';
import { profileText } from '../profile-text.ts';
import { bytesText, count, number } from '../quantity.ts';
import type { Screen } from '../report/screen.ts';
import { SECOND_LEVEL_NAMES } from '../second-level-names.ts';
import { earlyRefusal } from '../verdict/refusal.ts';
import { verdictLines } from '../verdict/verdict.ts';
import { rangedWarningLines, warningLines } from '../warning.ts';
import { attackTable } from './attack-table.ts';
import { outsideDirectMapLines } from './outside-direct-map.ts';
import { keptBitsLines } from './pinned-bits.ts';
import { protectVerdict, uncovered } from './protect-verdict.ts';
import type { HypercallRecord, PageCount, ProtectReport, ReportedContents } from './report.ts';

const BAR_WIDTH = 24;
/** Columns below which there is no bar. */
const BAR_NEEDS = 120;

const MEANINGS = {
  'r-x': 'code: runs, and is not changed',
  'r--': 'constants: neither changed nor run',
  'rw-': 'data: changed, but not run by the kernel',
  rwx: 'changed and run: nothing is enforced',
} as const;

/** What is not covered and has its own place in the text. */
const SAID_ELSEWHERE: ReadonlySet<string> = new Set([
  'contents',
  'memory-map-left-out',
  'outside-direct-map',
]);

/** What is left of it where the processor cannot deny execution to the kernel alone. */
const MEANINGS_WITHOUT_MBEC: Readonly<Record<keyof typeof MEANINGS, string>> = {
  ...MEANINGS,
  'r--': 'constants: not changed, but run',
  'rw-': 'data: changed and run, nothing is enforced',
};

function size(pages: number): string {
  return bytesText(pages * 4096);
}

/** The report as people read it. */
export function protectText(report: ProtectReport, contents: ReportedContents, screen: Screen): string[] {
  const { colours } = screen;
  const sections = [
    header(report, contents, colours),
    section('1', 'Early init: how is each page mapped?', earlyLines(report, colours), colours),
    section('2', 'Late init: the kernel tells the hypervisor', lateLines(report, screen), colours),
    section('3', enforcedTitle(report), enforcedLines(report, contents, screen), colours),
    section(
      '4',
      'An attacker who runs code in the kernel (CPL 0)',
      attackLines(report, contents, screen),
      colours,
    ),
  ];
  if (report.trace !== undefined) {
    sections.push(section('5', 'Trace of the protected machine', report.trace, colours));
  }
  return sections.flat();
}

function section(label: string, title: string, lines: readonly string[], { bold, cyan }: Colours): string[] {
  return [
    '',
    `${cyan(bold(label))} ${bold(title)}`,
    ...lines.map((line) => (line === '' ? '' : `  ${line}`)),
  ];
}

function header(report: ProtectReport, { names }: ReportedContents, colours: Colours): string[] {
  const { bold, dim, yellow } = colours;
  const { subject, addedMemory } = report;
  const { memoryMap, memoryMapFrom } = subject;
  const added = `${size(addedMemory.end - addedMemory.start)} added at ${hex(addedMemory.start * 4096)} for page lists`;
  const from = memoryMapFrom === undefined ? yellow('inferred from the direct map') : `from ${memoryMapFrom}`;
  const leftOut = subject.leftOut.filter(({ isMemory }) => isMemory);
  const rows: [string, string][] = [
    [
      'kernel',
      shortKernel(subject.kernel) +
        (subject.commandLine === undefined ? '' : dim(`  ${subject.commandLine}`)),
    ],
    [
      'snapshot',
      `${subject.name}${subject.embedded ? ' (comes with heki)' : ''}${report.pageTablesOnly ? ': page tables and registers; contents not in the snapshot' : ''}`,
    ],
    ...(names.image === undefined
      ? []
      : [
          ['image', `${names.image.file}: kernel text and constants that the snapshot lacks`] satisfies [
            string,
            string,
          ],
        ]),
    ['memory', `${size(memoryMap.ramFrames)} of RAM, ${from}; ${added}`],
    ...(leftOut.length === 0
      ? []
      : [
          [
            'not RAM',
            `of that map: ${leftOut.map(({ name, bytes }) => `${bytesText(bytes)} ${name}`).join(', ')}`,
          ] satisfies [string, string],
        ]),
    ['tables', `${hex(subject.tables.root * 4096)}, ${subject.tables.origin.name}`],
    ['proven by', subject.tables.because],
    ['processor', processorText(subject.processor)],
    ['hypervisor', `${hypervisorText(report, colours)}; profile ${profileText(report)}`],
    [
      report.kernelConfig === undefined ? 'assumed' : 'configured',
      report.kernelConfig === undefined
        ? 'built for Heki: no KASLR, no jump labels (--kernel-config FILE shows what a real build does)'
        : `by ${report.kernelConfig.from}: ${configText(report.kernelConfig.config)}`,
    ],
  ];
  return [
    `${bold('Heki')}: the hypervisor keeps a kernel's code read-only and its data not executable, even against the kernel itself`,
    '',
    ...rows.map(([name, value]) => `  ${dim(name.padEnd(11))}${value}`),
    ...warningLines(report.warnings, colours).map((line) => `  ${line}`),
    ...uncovered(report)
      .filter(({ id }) => !SAID_ELSEWHERE.has(id))
      .map(({ message }) => `  ${yellow(`not covered: ${message}`)}`),
  ];
}

function hypervisorText({ backend, mbec, subject }: ProtectReport, { yellow }: Colours): string {
  const { name, control } = SECOND_LEVEL_NAMES[subject.processor.cpu.vendor];
  const { name: hypervisor, title, unjudged } = backend;
  if (hypervisor === 'kvm') return `KVM with ${name}, ${mbec ? control : yellow(`no ${control}`)}`;
  return unjudged ? `${title} (unjudged: no outside implementation was compared)` : title;
}

function configText({ RANDOMIZE_BASE = false, JUMP_LABEL = false }: KernelConfig): string {
  return `${RANDOMIZE_BASE ? 'KASLR' : 'no KASLR'}, ${JUMP_LABEL ? 'jump labels' : 'no jump labels'}`;
}

/** `Linux 6.1.0-56-cloud-amd64 (Debian 6.1.192-2)` of a whole version banner. */
function shortKernel(kernel: string): string {
  const release = /^Linux version (\S+)/.exec(kernel)?.[1];
  if (release === undefined) return kernel;
  const debian = /\bDebian \d\S*(?= \()/.exec(kernel)?.[0];
  return `Linux ${release}${debian === undefined ? '' : ` (${debian})`}`;
}

function earlyLines({ early, profile, subject }: ProtectReport, { yellow }: Colours): string[] {
  switch (early.outcome) {
    case 'counting':
      return [
        ...(profile === 'rfc-v2' &&
        subject.tables.directMap.start !== PUBLISHED_LAYOUT[subject.tables.levels].directMap.start
          ? [
              yellow(
                'KASLR moved the direct map of this kernel; as published, Heki looks at fixed addresses all the same',
              ),
            ]
          : []),
        `${count(early.leaves, 'mapping')} outside the direct map; counters of read, write and execute for ${count(early.pages, 'page')}`,
      ];
    default:
      return [earlyRefusal(early) ?? ''];
  }
}

function lateLines({ hypercalls, log, late }: ProtectReport, { colours, columns }: Screen): string[] {
  const width = Math.min(58, columns - 22);
  const calls = hypercalls.map((call) => {
    const result = call.result < 0 ? colours.red(String(call.result)) : colours.green(String(call.result));
    return `${(call.number === undefined ? 'request' : `VMCALL ${call.number}`).padEnd(10)} ${callText(call).padEnd(width)} → ${result}`;
  });
  const end = 'error' in late ? [colours.red(`Heki gave up: ${late.outcome}, error ${late.error}`)] : [];
  return [
    ...log.map((line) => colours.dim(line)),
    ...(log.length > 0 && calls.length > 0 ? [''] : []),
    ...calls,
    ...end,
  ];
}

function callText({
  number: nr,
  arguments: [first = 0n, second = 0n, third = 0n],
  listPages,
}: HypercallRecord): string {
  if (nr === KvmHypercall.LOCK_CR_UPDATE) {
    if (third !== 0n) return 'which version of Heki does the hypervisor speak?';
    const names = first === 0n ? bitNames(CR0_BITS, second) : bitNames(CR4_BITS, second);
    return `pin CR${first}: ${names.join(' ')}`;
  }
  if (nr === undefined && listPages.length === 0) return 'lock control registers';
  if (nr === KvmHypercall.PROTECT_MEMORY || nr === undefined) {
    const ranges = listPages.reduce((sum, page) => sum + page.length, 0);
    return `protect memory: ${count(ranges, 'range')} in ${count(listPages.length, 'list page')}`;
  }
  return 'another hypercall';
}

function enforcedTitle({ hypercalls }: ProtectReport): string {
  const refused = hypercalls.some(({ listPages, result }) => listPages.length > 0 && result !== 0);
  return refused
    ? 'What the kernel asked for, and the hypervisor refused'
    : 'What the hypervisor enforces from now on';
}

function enforcedLines(
  report: ProtectReport,
  { names }: ReportedContents,
  { colours, columns }: Screen,
): string[] {
  const { pages, kept, weakenedPages, outsideDirectMap, crashKernel, subject } = report;
  const { name, control } = SECOND_LEVEL_NAMES[subject.processor.cpu.vendor];
  const total = [...pages.values()].reduce((sum, { pages: n }) => sum + n, 0);
  const registers = keptBitsLines(kept, subject.processor.registers);
  if (total === 0) return registers.length === 0 ? ['nothing'] : ['no page', ...registers];
  const lines: string[] = [];
  const meanings = weakenedPages > 0 ? MEANINGS_WITHOUT_MBEC : MEANINGS;
  const kinds = (['r-x', 'r--', 'rw-', 'rwx'] as const).map((permissions) => ({
    permissions,
    ...(pages.get(permissions) ?? { pages: 0, immutable: 0 }),
    meaning: meanings[permissions] as string,
  }));
  for (const { permissions, pages: frames, immutable, meaning } of withCrashKernel(kinds, crashKernel)) {
    if (frames === 0) continue;
    const colour = permissions === 'rwx' ? colours.red : permissions === 'rw-' ? colours.blue : colours.green;
    const bar =
      columns < BAR_NEEDS
        ? ''
        : `${colour('█'.repeat(Math.max(1, Math.round((frames / total) * BAR_WIDTH))).padEnd(BAR_WIDTH))}  `;
    lines.push(
      `${colour(permissions)}  ${number(frames).padStart(11)} ${frames === 1 ? 'page ' : 'pages'} ${size(frames).padStart(10)}  ${bar}${meaning}${immutable > 0 ? colours.dim('  immutable') : ''}`,
    );
  }
  lines.push(...registers);
  if (weakenedPages > 0) {
    lines.push(
      colours.yellow(
        `${report.backend.name === 'kvm' ? `without ${control}, ${name}` : 'this hypervisor'} cannot deny execution to the kernel alone: ${count(weakenedPages, 'page')} stay executable`,
      ),
    );
  }
  lines.push(...outsideDirectMapLines(outsideDirectMap, names.kernel, colours));
  lines.push(...rangedWarningLines(report.warnings, colours, names.kernel));
  return lines;
}

/** Pages of one kind, as a line tells them. */
interface PageKind extends PageCount {
  readonly permissions: keyof typeof MEANINGS;
  readonly meaning: string;
}

/** Parts the pages of a loaded crash kernel from those that are constants. */
function withCrashKernel(kinds: readonly PageKind[], crashKernel: PageCount): PageKind[] {
  return kinds.flatMap((kind) => {
    if (kind.permissions !== 'r--') return [kind];
    const { pages, immutable } = kind;
    const constants = { pages: pages - crashKernel.pages, immutable: immutable - crashKernel.immutable };
    const meaning =
      crashKernel.immutable === 0
        ? 'a crash kernel, loaded: read-only until another is'
        : 'a crash kernel, loaded: no other can be any more';
    return [
      { ...kind, ...constants },
      { ...kind, ...crashKernel, meaning },
    ];
  });
}

function attackLines(report: ProtectReport, contents: ReportedContents, screen: Screen): string[] {
  const { colours } = screen;
  const { attacks } = report;
  // Lines of a section stand two columns to the right.
  const lines = attackTable(attacks, contents, { ...screen, columns: screen.columns - 2 });
  const titles = (wanted: Standing): string[] =>
    attacks.filter(({ standing }) => standing === wanted).map(({ attack }) => attack.title);
  const stopped = titles('stopped-by-heki').length;
  if (stopped > 0) {
    lines.push(colours.green(`Heki stops ${count(stopped, 'attack')} that the kernel alone cannot stop.`));
  }
  lines.push(
    ...titles('not-stopped').map((title) => colours.red(`Heki does not stop this: ${title}.`)),
    ...titles('broken').map((title) => colours.red(`Heki breaks this: ${title}.`)),
    ...verdictLines(protectVerdict(report), colours),
  );
  lines.push(...livelockLines(report).map((line) => colours.yellow(line)));
  const { image } = contents.names;
  if (image !== undefined && [...contents.bytes.values()].some(({ from }) => from === 'image')) {
    lines.push(
      colours.dim(
        `(image): from ${image.file}, not from the guest: alternatives, static calls and patched sites may differ.`,
      ),
    );
  }
  if (report.pageTablesOnly) {
    lines.push(
      colours.dim(
        `The contents of the attacked ${image === undefined ? 'pages' : 'data'} are not in the snapshot: verdicts are what the processor does.`,
      ),
    );
  }
  return lines;
}

/** What a livelock is: of the kernel, whose handler makes nothing of an injected fault, or of the hypervisor, which answers nothing. */
function livelockLines({ attacks }: ProtectReport): string[] {
  const livelocks = attacks.filter(({ with: { outcome } }) => outcome === 'livelock');
  const injected = livelocks.some(({ with: { decisive } }) => decisive?.exception !== undefined);
  const exits = livelocks.some(({ with: { decisive } }) => decisive?.exception === undefined);
  return [
    ...(injected
      ? [
          'livelock: the kernel takes the injected #PF for a stale TLB entry and retries for ever. Nothing is changed, but the CPU does nothing else any more. Profile hardened ends it with an oops.',
        ]
      : []),
    ...(exits
      ? [
          'livelock: the hypervisor lets the kernel try again without an answer, and it exits for ever. Nothing is changed, but the CPU does nothing else any more.',
        ]
      : []),
  ];
}
