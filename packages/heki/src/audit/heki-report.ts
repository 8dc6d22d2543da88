import type { UnderHeki } from '@heki/audit/heki';
import { hex, PAGE_SIZE } from '@heki/physical-memory';
import { count, number } from '../quantity.ts';
import { initRefusal } from '../verdict/refusal.ts';
import type { Warning } from '../warning.ts';
import { withoutAddresses } from './without-addresses.ts';

/** What Heki would do with the kernel, and what is to be said of the hypervisor's model. */
export interface HekiReport {
  readonly result: UnderHeki;
  /** What `--hypervisor` names it by, and what it is, in words. */
  readonly name: string;
  readonly title: string;
  readonly warnings: readonly Warning[];
}

/** Why it would not be in force; `undefined` when it would. @param redact leaves out addresses */
function refusalOf({ early, late, refused }: UnderHeki, redact: boolean): string | undefined {
  const message =
    initRefusal(early, late)?.message ??
    (refused.length === 0 ? undefined : `the hypervisor refused a request with ${refused[0]}`);
  return message === undefined || !redact ? message : withoutAddresses(message);
}

/** The verdict in one line. */
export function readinessText({ result }: HekiReport, redact: boolean): string {
  const { inForce, work, open, ranges, listPages, hypercalls, hypervisor, profile } = result;
  if (!inForce) return `not ready: ${refusalOf(result, redact) ?? 'nothing was asked for'}`;
  const immutable = sealedPages(result);
  const broken = work.filter(({ outcome }) => outcome !== 'works');
  const verdict = broken.length === 0 ? 'ready' : `ready but for ${count(broken.length, 'kind')} of work`;
  const ways = open.map(({ id }) => id).join(', ');
  return `${verdict}: ${hypervisor}, ${profile}, would hold ${number(immutable)} pages for good, by ${count(ranges.length, 'range')} in ${count(listPages, 'list page')} and ${count(hypercalls, 'hypercall')}; open: ${ways}`;
}

function sealedPages({ pages }: UnderHeki): number {
  return [...pages.values()].reduce((sum, { immutable }) => sum + immutable, 0);
}

/** What Heki would do, for programs. */
export function hekiJson(report: HekiReport, redact: boolean): object {
  const { result } = report;
  const refusal = refusalOf(result, redact);
  const { leaves, work, open } = result;
  return {
    hypervisor: result.hypervisor,
    profile: result.profile,
    inForce: result.inForce,
    ...(refusal !== undefined && { refusal }),
    hypercalls: result.hypercalls,
    listPages: result.listPages,
    ranges: result.ranges.length,
    pages: Object.fromEntries([...result.pages].map(([permissions, one]) => [permissions, one.pages])),
    immutablePages: sealedPages(result),
    protected: redact
      ? []
      : result.ranges.map(({ start, end, permissions, immutable }) => ({
          start: hex(start * PAGE_SIZE),
          end: hex(end * PAGE_SIZE),
          permissions,
          immutable,
        })),
    leaves,
    missingPages: pagesOf(result.rights.missing),
    beyondPages: pagesOf(result.rights.beyond),
    unenforceablePages: pagesOf(result.rights.unenforceable),
    work,
    open,
    readiness: readinessText(report, redact),
    unjudged: report.warnings.some(({ id }) => id === 'unjudged'),
  };
}

function pagesOf(ranges: readonly { readonly start: number; readonly end: number }[]): number {
  return ranges.reduce((sum, { start, end }) => sum + end - start, 0);
}

/** Rows of facts about the second level and the requests: a name and its value. */
export function hekiFacts({ result }: HekiReport): [name: string, value: string][] {
  const { leaves, pages, ranges, listPages, hypercalls, rights } = result;
  const granted = [...pages].filter(([, one]) => one.pages > 0);
  const differing: [string, number][] = [
    ['lose a right that a mapping has', pagesOf(rights.missing)],
    ['have a right that no mapping has', pagesOf(rights.beyond)],
    ['can be executed because it cannot be withheld', pagesOf(rights.unenforceable)],
  ];
  return [
    [
      'requests',
      `${count(ranges.length, 'range')} in ${count(listPages, 'list page')}, ${count(hypercalls, 'hypercall')}`,
    ],
    [
      'pages',
      granted
        .map(([rightsOf, one]) => `${number(one.pages)} ${rightsOf} (${number(one.immutable)} for good)`)
        .join(', ') || 'none',
    ],
    ['second level', `${leavesText(leaves.before)} before; ${leavesText(leaves.after)} after`],
    ['large pages lost', `${number(leaves.lost['1G'])} of 1 GiB, ${number(leaves.lost['2M'])} of 2 MiB`],
    ...differing
      .filter(([, count]) => count > 0)
      .map(([what, frames]): [string, string] => ['pages that differ', `${count(frames, 'page')} ${what}`]),
  ];
}

function leavesText(leaves: UnderHeki['leaves']['before']): string {
  return `${number(leaves['1G'])} x 1 GiB, ${number(leaves['2M'])} x 2 MiB, ${number(leaves['4K'])} x 4 KiB`;
}
