import type { MemoryData } from '../memory/memory-data.ts';

/** From what is only to be known to what an attacker needs no more than. */
export type PageSeverity = 'info' | 'low' | 'medium' | 'high' | 'critical';

/** All that the page of an audit shows, as it is carried in it. Texts are shown as they are: nothing in them is markup. */
export interface AuditPage {
  /** `heki 1.2.3`. */
  readonly tool: string;
  readonly verdict: {
    readonly fails: boolean;
    /** One line. */
    readonly text: string;
    readonly counts: Readonly<Record<PageSeverity, number>>;
  };
  /** What was looked at: names and values. */
  readonly facts: readonly PageFact[];
  readonly findings: readonly PageFinding[];
  /** What is assumed, and what was not judged. */
  readonly warnings: readonly { readonly id: string; readonly message: string }[];
  /** Physical memory; `null` in a redacted report. */
  readonly memory: MemoryData | null;
  readonly hypervisors: readonly PageHypervisor[];
}

export type PageFact = readonly [name: string, value: string];

/** A finding. Physical addresses are frames. */
export interface PageFinding {
  readonly id: string;
  readonly severity: PageSeverity;
  readonly title: string;
  /** One sentence about this kernel. */
  readonly summary: string;
  readonly explanation: string;
  readonly attack: string;
  readonly legitimate: string;
  readonly advice: string;
  readonly pages: number;
  /** Ascending and apart: start, end (exclusive). */
  readonly ranges: readonly (readonly [start: number, end: number])[];
  readonly rangesLeftOut: number;
  readonly aliases: readonly PageAlias[];
  readonly aliasesLeftOut: number;
  /** Why a baseline accepts it. */
  readonly accepted: string | null;
  /** It makes the audit fail. */
  readonly fails: boolean;
}

/** Addresses at which frames of a finding are mapped in one run. */
export interface PageAlias {
  /** First virtual frame; `null` in a redacted report, as `frame` is. */
  readonly virtualFrame: number | null;
  readonly frame: number | null;
  readonly pages: number;
  /** With what lies at the first address, where that has a name. */
  readonly region: string;
  /** `rw-`: by the leaf alone, and by all levels. */
  readonly leaf: string;
  readonly effective: string;
}

/** What one hypervisor would do with the kernel. */
export interface PageHypervisor {
  readonly name: string;
  readonly title: string;
  /** One line: whether it is ready. */
  readonly readiness: string;
  readonly inForce: boolean;
  /** No outside implementation has judged its model. */
  readonly unjudged: boolean;
  readonly facts: readonly PageFact[];
  readonly work: readonly {
    readonly title: string;
    readonly outcome: string;
    readonly pages: number;
    readonly why: string;
  }[];
  /** What stays open, a sentence each. */
  readonly open: readonly string[];
  /** Which of `MemoryData.grants` it is; `null` where nothing is known. */
  readonly grants: number | null;
}
