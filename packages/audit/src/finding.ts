import type { FrameRange, Gfn, VirtualFrame } from '@heki/physical-memory';
import type { AuditedKernel } from './audited-kernel.ts';
import type { PlaceName } from './mapping.ts';

/** From what is only to be known to what an attacker needs no more than. */
export const SEVERITIES = ['info', 'low', 'medium', 'high', 'critical'] as const;
export type Severity = (typeof SEVERITIES)[number];

/** Whether `severity` is `least` or worse. */
export function isAtLeast(severity: Severity, least: Severity): boolean {
  return SEVERITIES.indexOf(severity) >= SEVERITIES.indexOf(least);
}

/** Addresses at which frames of a finding are mapped in one run. */
export interface Alias {
  readonly start: VirtualFrame;
  /** One past the last. */
  readonly end: VirtualFrame;
  /** Frame of the first address. */
  readonly frame: Gfn;
  readonly region: PlaceName;
  /** What lies at the first address, in the image or a module: `vfs_read+0x10`; `undefined` where no symbol is known. */
  readonly symbol?: string | undefined;
  /** What the leaf entries alone say, an OR of `Rights`. */
  readonly leaf: number;
  /** What all levels together allow. */
  readonly effective: number;
}

/** What was found once. */
export interface Occurrence {
  readonly severity: Severity;
  /** One sentence about this kernel. */
  readonly summary: string;
  /** Physical frames, ascending and joined; none for what is about registers. */
  readonly ranges: readonly FrameRange<Gfn>[];
  readonly aliases: readonly Alias[];
  /** Runs of addresses that were too many to list. */
  readonly aliasesLeftOut: number;
  /**
   * What stays the same when the kernel boots again with another KASLR: names of regions and sections, offsets in the image,
   * registers; no address and no frame.
   */
  readonly place: string;
}

/** A kind of finding. */
export interface FindingKind {
  /** `heki/wx-alias`: never changes its meaning. */
  readonly id: `heki/${string}`;
  readonly title: string;
  /** The worst that an occurrence can have. */
  readonly worst: Severity;
  /** What it is. */
  readonly explanation: string;
  /** What an attacker makes of it. */
  readonly attack: string;
  /** How a sound kernel comes to it. */
  readonly legitimate: string;
  /** What to do. */
  readonly advice: string;
  readonly find: (kernel: AuditedKernel) => Iterable<Occurrence>;
}

/** An occurrence with what is to be said of its kind. */
export interface Finding extends Occurrence {
  readonly id: FindingKind['id'];
  readonly title: string;
  readonly explanation: string;
  readonly advice: string;
  /** Pages in `ranges`. */
  readonly pages: number;
  /** Tells the same finding of the same kernel build after another boot: `ID|PLACE`. */
  readonly fingerprint: string;
}
