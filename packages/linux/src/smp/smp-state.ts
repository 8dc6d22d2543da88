import type { Gfn } from '@heki/physical-memory';
import type { Vcpu } from '@heki/vcpu';
import type { MmState } from '../mm/mm-state.ts';
import type { Turns } from './turns.ts';

/** The processors of a kernel. */
interface Processors {
  /** By number; the boot processor is 0. */
  readonly possible: readonly Vcpu[];
  /** Those that run the kernel: each takes part in every flush. */
  readonly online: Set<Vcpu>;
  /** INIT, as an interprocessor interrupt brings it. */
  readonly init: (vcpu: Vcpu) => void;
}

/** Processors, and the memory that they share. */
export interface SmpState extends MmState {
  /** The processor that the kernel runs on just now. */
  vcpu: Vcpu;
  readonly processors: Processors;
  readonly turns: Turns;
  /** First frame of the real-mode trampoline. */
  trampoline: Gfn;
}
