import type { CodeAuthority, SignedCode } from '@heki/code-authority';
import type { Gfn, Pfn } from '@heki/physical-memory';
import type { CodeRights } from './code-rights.ts';

/** Whoever decides what the guest's kernel executes, on KVM's host side. */
export interface CodeOwner {
  readonly authority: CodeAuthority;
  /** The kernel's signed image, which the VMM gave. */
  readonly kernel: SignedCode['kernel'];
  /** What it withholds, by host frames. */
  readonly rights: CodeRights;
  /** B-A8: the guest frame that has the type of a host frame; another one over it has none. */
  readonly typedName: ((frame: Pfn) => Gfn | undefined) | undefined;
  /** Weaker variants keep what no saved state has: pages that are open (B-A1), the first names of host frames (B-A8). */
  readonly isUnsaveable: boolean;
  /** A new boot: nothing is sealed, and no frame has a name. */
  reset(): void;
  /** What brings back all that it keeps and withholds. */
  checkpoint(): () => void;
}
