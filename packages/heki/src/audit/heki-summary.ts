import { protectVerdict } from '../protect/protect-verdict.ts';
import type { ProtectReport } from '../protect/report.ts';
import { count, number } from '../quantity.ts';
import { withoutAddresses } from './report.ts';

/** What Heki would do with the kernel, in figures. */
export interface HekiSummary {
  readonly hypervisor: string;
  readonly profile: string;
  readonly inForce: boolean;
  /** Why it would not be in force. */
  readonly refusal: string | undefined;
  readonly hypercalls: number;
  readonly listPages: number;
  readonly ranges: number;
  /** By permissions, `r-x`. */
  readonly pages: Readonly<Record<string, number>>;
  readonly immutablePages: number;
  /** Attacks that get through with Heki, by name. */
  readonly open: readonly string[];
  /** One line for people. */
  readonly readiness: string;
}

/** Sums up what `heki protect` found. @param redact leaves out the addresses of a refusal */
export function hekiSummary(report: ProtectReport, redact: boolean): HekiSummary {
  const { backend, profile, hypercalls, pages, attacks } = report;
  const { inForce, refusal: refused } = protectVerdict(report);
  const refusal = redact && refused !== undefined ? withoutAddresses(refused.message) : refused?.message;
  const lists = hypercalls.flatMap(({ listPages }) => listPages);
  const ranges = lists.reduce((sum, list) => sum + list.length, 0);
  const immutablePages = [...pages.values()].reduce((sum, { immutable }) => sum + immutable, 0);
  const open = attacks
    .filter(({ attack, with: result }) => !attack.legitimate && result.outcome === 'succeeded')
    .map(({ with: { name } }) => name);
  return {
    hypervisor: backend.name,
    profile,
    inForce,
    refusal,
    hypercalls: hypercalls.length,
    listPages: lists.length,
    ranges,
    pages: Object.fromEntries([...pages].map(([permissions, one]) => [permissions, one.pages])),
    immutablePages,
    open,
    readiness: inForce
      ? `Heki would hold ${number(immutablePages)} pages, by ${count(ranges, 'range')} in ${count(lists.length, 'list page')} and ${count(hypercalls.length, 'hypercall')}${open.length === 0 ? '' : `; ${open.join(', ')} would still get through`}`
      : `Heki would not be in force: ${refusal ?? 'nothing was asked for'}`,
  };
}
