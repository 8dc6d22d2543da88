import { kernelRightsText } from '@heki/machine';
import { hex, PAGE_SIZE } from '@heki/physical-memory';
import { count } from '../quantity.ts';
import type { Finding } from '../verdict/finding.ts';
import { initRefusal, type Refusal } from '../verdict/refusal.ts';
import { framesIn, rightsFindings } from '../verdict/rights-warnings.ts';
import type { Verdict } from '../verdict/verdict.ts';
import type { Warning } from '../warning.ts';
import { pinFindings } from './pinned-bits.ts';
import type { HypercallRecord, ProtectReport } from './report.ts';

type Judged = Pick<
  ProtectReport,
  | 'early'
  | 'late'
  | 'hypercalls'
  | 'inForce'
  | 'granted'
  | 'attacks'
  | 'pinned'
  | 'kept'
  | 'profile'
  | 'strict'
>;

/** The outcome of protecting and attacking a kernel, for the exit code and its readers. */
export function protectVerdict(report: Judged): Verdict {
  const { inForce, profile, strict } = report;
  const refusal = refusalOf(report);
  return { findings: findings(report, refusal), inForce, refusal, profile, strict };
}

/** Why the kernel is not protected, or not all of it as it asked. */
function refusalOf({
  early,
  late,
  hypercalls,
}: Pick<ProtectReport, 'early' | 'late' | 'hypercalls'>): Refusal | undefined {
  const refusal = initRefusal(early, late);
  if (refusal !== undefined) return refusal;
  const refused = hypercalls.find(({ result }) => result < 0);
  if (refused === undefined) return undefined;
  return { outcome: 'request-refused', message: requestRefusal(refused), error: refused.result };
}

function requestRefusal({ listPages, result, why }: HypercallRecord): string {
  const ranges = listPages.reduce((sum, page) => sum + page.length, 0);
  const what = ranges === 0 ? 'a request' : `the request to protect ${count(ranges, 'range')}`;
  return `the hypervisor refused ${what} with ${result}${why === undefined ? '' : ` (${why})`}`;
}

function findings(
  { granted, inForce, attacks, pinned, kept, profile }: Judged,
  refusal: Refusal | undefined,
): Finding[] {
  const { mappings, rights } = granted;
  return [
    ...(refusal === undefined ? [] : [{ id: 'refused', message: refusal.message } satisfies Finding]),
    ...(mappings.cutShort
      ? [
          {
            id: 'walk-cut-short',
            message: 'the page tables have no end: what all of them map is not known',
          } satisfies Finding,
        ]
      : []),
    ...(inForce ? [...rightsFindings(rights), ...pinFindings(pinned, kept, profile)] : []),
    ...attacks.flatMap(({ attack, standing, claimed }): Finding[] => {
      if (standing === 'not-stopped' && claimed) {
        const message = `this attack succeeds, and the machine claims to stop it: ${attack.title}`;
        return [{ id: 'claimed-attack-succeeded', message }];
      }
      if (standing !== 'broken') return [];
      return [{ id: 'work-broken', message: `the kernel cannot do its work: ${attack.title}` }];
    }),
  ];
}

/** What was taken for granted, because the snapshot does not tell. */
export function assumptions({
  kernelConfig,
  subject,
}: Pick<ProtectReport, 'kernelConfig' | 'subject'>): Warning[] {
  return [
    ...(kernelConfig === undefined
      ? [{ id: 'kernel-config', message: 'the kernel is built for Heki: no KASLR, no jump labels' }]
      : []),
    ...(subject.processor.named
      ? []
      : [{ id: 'processor', message: `the guest runs on ${subject.processor.cpu.name}` }]),
    ...(subject.processor.eferFrom === undefined
      ? [
          {
            id: 'efer',
            message: `EFER is ${hex(subject.processor.registers.efer)}: the snapshot does not hold it`,
          },
        ]
      : []),
    ...(subject.memoryMapFrom === undefined
      ? [{ id: 'memory-map', message: 'what the direct map maps is the RAM of the guest' }]
      : []),
    ...(subject.memoryMapFrom === undefined
      ? subject.crashKernel.map(({ start, end }) => ({
          id: 'crash-kernel',
          message: `a crash kernel is loaded at ${hex(start * PAGE_SIZE)}-${hex(end * PAGE_SIZE - 1)}: it is read-only there, and mapped by nothing but the direct map`,
        }))
      : []),
  ];
}

/** What no verdict here speaks about. */
export function uncovered({
  granted,
  outsideDirectMap,
  pageTablesOnly,
  subject,
}: Pick<ProtectReport, 'granted' | 'outsideDirectMap' | 'pageTablesOnly' | 'subject'>): Warning[] {
  const { outside } = granted;
  const mapped = framesIn(outside);
  const unsent = outsideDirectMap.filter(({ allowed, sent }) => allowed !== 0 && !sent);
  const leftOut = subject.leftOut.filter(({ isMemory }) => isMemory);
  return [
    ...(pageTablesOnly
      ? [
          {
            id: 'contents',
            message:
              'the contents of the attacked pages are not in the snapshot: verdicts are what the processor does',
          },
        ]
      : []),
    ...(unsent.length > 0
      ? [
          {
            id: 'outside-direct-map',
            message: `${count(framesIn(unsent), 'page')} of RAM that the direct map lacks: Heki, which looks there alone, never asks for them`,
            ranges: unsent.map(({ start, end, allowed }) => ({
              start,
              end,
              mapped: kernelRightsText(allowed),
            })),
          },
        ]
      : []),
    ...(mapped > 0
      ? [
          {
            id: 'mapped-outside-memory',
            message: `${count(mapped, 'page')} ${mapped === 1 ? 'is' : 'are'} mapped and not RAM in the memory map: devices, or memory without protection`,
            ranges: outside.map(({ start, end, allowed }) => ({
              start,
              end,
              mapped: kernelRightsText(allowed),
            })),
          },
        ]
      : []),
    ...leftOut.map(({ name, bytes }) => ({
      id: 'memory-map-left-out',
      message: `the memory map names ${bytes} bytes of ${name} that are not taken for RAM`,
    })),
    ...(granted.rights.sampled
      ? [
          {
            id: 'sampled',
            message: 'rights were read back of one page in each stretch of equal mappings within 2 MiB',
          },
        ]
      : []),
  ];
}
