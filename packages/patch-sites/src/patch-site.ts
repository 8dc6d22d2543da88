import type { ImageAddress } from './image-view.ts';

/** Why Linux patches a site, in the order in which a byte is counted that several kinds claim. */
export const SITE_KINDS = [
  'ftrace',
  'ftrace callback',
  'return thunk',
  'retpoline',
  'paravirt',
  'alternative',
  'call thunk',
  'endbr seal',
  'smp lock',
  'static call',
  'jump label',
  'runtime constant',
  'kprobe',
] as const;

/** A kind of site. */
export type SiteKind = (typeof SITE_KINDS)[number];

/** Bytes of a kernel's code that it patches itself. */
export interface PatchSite {
  readonly kind: SiteKind;
  readonly at: ImageAddress;
  /** In bytes. */
  readonly size: number;
  /** Of a jump label where it leads to, of an alternative where its replacement lies. */
  readonly other?: ImageAddress;
  /** Where the `struct static_call_key` of a static call lies, or the `struct static_key` of a jump label. */
  readonly key?: ImageAddress | undefined;
  /** Of a jump label: it jumps while its key is off. Of an alternative: it holds where the feature is missing. */
  readonly inverted?: boolean;
  /** Of a runtime constant: the variable that it has the value of. */
  readonly variable?: string;
  /** Bytes of the replacement. */
  readonly otherSize?: number;
  /** Of an alternative: the feature or bug that it is for, as Linux numbers them. */
  readonly feature?: number;
  /** Of an alternative: a call through a pointer becomes one of what the pointer has. */
  readonly isDirectCall?: boolean;
}
