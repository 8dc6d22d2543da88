import type { VirtualAddress } from '@heki/physical-memory';

/** Names of the general registers, in the order of their numbers in an instruction. */
export const GENERAL_REGISTERS = [
  'rax',
  'rcx',
  'rdx',
  'rbx',
  'rsp',
  'rbp',
  'rsi',
  'rdi',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
] as const;

/** The name of a general register. */
export type GeneralRegister = (typeof GENERAL_REGISTERS)[number];

/** GDTR or IDTR. */
export interface DescriptorTable {
  readonly base: VirtualAddress;
  /** Offset of the last byte: 0 .. 0xffff. */
  readonly limit: number;
}

/**
 * The registers of a virtual CPU; they serve as `PagingRegisters` too. Assigning one is what a VMM does with KVM_SET_SREGS and KVM_SET_REGS: no rule is
 * checked and nothing exits, but the caches that depend on it are flushed. Guests use the instructions.
 */
export interface Registers extends Record<GeneralRegister, bigint> {
  /** The address of the instruction that executes now or next. */
  rip: VirtualAddress;
  /** RFLAGS; the model looks at IF (bit 9) and AC (bit 18). */
  rflags: bigint;
  /** Current privilege level. */
  cpl: 0 | 3;
  cr0: bigint;
  cr2: VirtualAddress;
  /** Root frame, PCID or PWT and PCD. */
  cr3: bigint;
  cr4: bigint;
  /** IA32_EFER. */
  efer: bigint;
  /** Rights of protection keys on user pages. */
  pkru: number;
  /** IA32_PKRS: rights of protection keys on supervisor pages. */
  pkrs: number;
  /** CS.L: with EFER.LMA, 64-bit mode rather than compatibility mode. */
  codeSegment64: boolean;
  gdtr: DescriptorTable;
  /**
   * `undefined` until the guest loads one (or is given one): exceptions then go straight to the handler port,
   * and no gate is read.
   */
  idtr: DescriptorTable | undefined;
  /** Selectors. */
  ldtr: number;
  tr: number;
}
