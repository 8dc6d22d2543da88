import type { VirtualAddress } from '@heki/physical-memory';

/** Exception vectors that the model knows (SDM 3A table 6-1). */
export const Vector = {
  /** #DE divide error. */
  DE: 0,
  /** #UD invalid opcode. */
  UD: 6,
  /** #DF double fault. */
  DF: 8,
  /** #TS invalid TSS. */
  TS: 10,
  /** #NP segment not present. */
  NP: 11,
  /** #SS stack fault. */
  SS: 12,
  /** #GP general protection. */
  GP: 13,
  /** #PF page fault. */
  PF: 14,
  /** #VE virtualization exception. */
  VE: 20,
  /** #CP control protection. */
  CP: 21,
} as const;

/** An exception that the processor or a hypervisor delivers to the guest (SDM 3A 6.15). */
export interface Exception {
  /** A number from {@link Vector}, or any other vector below 32. */
  readonly vector: number;
  /** 0 for an exception that has none. */
  readonly errorCode: number;
  /** The linear address that CR2 takes, for #PF. */
  readonly cr2?: VirtualAddress | undefined;
}

/** What an exception interrupted, as the handler finds it on its stack; and where it was delivered to. */
export interface ExceptionFrame {
  /** The instruction that faulted. */
  readonly rip: VirtualAddress;
  readonly cpl: 0 | 3;
  readonly rflags: bigint;
  /** What the gate in the guest's IDT names, also RIP now; `undefined` when no IDT was ever loaded. */
  readonly handler: VirtualAddress | undefined;
}

/**
 * What the guest's handler of an exception decides, as Linux's page-fault handler does.
 *
 * - `retry`: return to the same instruction (the fault was spurious, or its cause was mended)
 * - `fixup`: go on elsewhere, through the exception table; the instruction ends without effect
 * - `fatal`: oops; the instruction ends without effect
 */
export type ExceptionDecision = 'retry' | 'fixup' | 'fatal';
