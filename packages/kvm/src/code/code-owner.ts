import type { CodeAuthority, SignedCode } from '@heki/code-authority';
import type { CodeRights } from './code-rights.ts';

/** Whoever decides what the guest's kernel executes, on KVM's host side. */
export interface CodeOwner {
  readonly authority: CodeAuthority;
  /** The kernel's signed image, which the VMM gave. */
  readonly kernel: SignedCode['kernel'];
  /** What it withholds, by host frames. */
  readonly rights: CodeRights;
}
