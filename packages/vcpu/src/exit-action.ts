import type { Gfn, Gpa, PhysicalMemory, VirtualAddress } from '@heki/physical-memory';
import type { Exception } from './exceptions/exception.ts';

/** What the hypervisor does about a `VmExit`. */
export type ExitAction =
  /** Enter the guest again at the same instruction. */
  | { readonly kind: 'resume' }
  /**
   * The instruction was carried out for the guest: go on behind it. `value` is what an emulated load or fetch
   * read (default 0); RDMSR takes its result from RDX:RAX.
   */
  | { readonly kind: 'skip'; readonly value?: bigint }
  /**
   * Carry the instruction out in software, over guest memory as the hypervisor reaches it, and go on behind it (x86_emulate_instruction).
   */
  | { readonly kind: 'emulate'; readonly memory: EmulatedMemory }
  /** Enter the guest again at the same instruction with this exception pending. */
  | { readonly kind: 'inject'; readonly exception: Exception }
  /** Leave to the VMM and do not enter again: the VM is broken or shut down. */
  | { readonly kind: 'stop'; readonly why: string };

/** Any of them but emulation, which ends in one of these where it cannot go on. */
export type PlainAction = Exclude<ExitAction, { readonly kind: 'emulate' }>;

/** An access that an instruction makes, once its linear address is translated. */
export interface EmulatedAccess {
  readonly kind: 'read' | 'write' | 'fetch';
  readonly gpa: Gpa;
  readonly linear: VirtualAddress;
  /** The linear address is user-mode: every guest entry used has U/S = 1, or CR0.PG = 0. */
  readonly userPage: boolean;
}

/** What stands at the address of an {@link EmulatedAccess}. */
export type EmulatedTarget =
  /** Memory, and the access may be made. */
  | 'memory'
  /** No memory, or none that takes a store: perhaps a device. A load reads ones, a store is lost, and a fetch cannot be carried out. */
  | 'device'
  /** The access is refused: this becomes of the instruction. */
  | PlainAction;

/**
 * Guest-physical memory as a hypervisor's instruction emulator reaches it: in software, past the second level. The emulator walks the
 * guest's page tables itself, page by page of an operand, and what it has done of an instruction before a fault stays done.
 */
export interface EmulatedMemory {
  /** The bytes. */
  readonly memory: PhysicalMemory<Gfn>;
  /** Whether guest memory is at a frame at all. A page table where none is counts as not present. */
  has(gfn: Gfn): boolean;
  /** Whether the walk may set accessed and dirty flags in a page table there; otherwise they stay as they are. */
  takesFlags(gfn: Gfn): boolean;
  /** What an access meets. */
  judge(access: EmulatedAccess): EmulatedTarget;
  /** Hears of every access to a {@link EmulatedTarget} `device`, once the instruction has made it. */
  onDevice(access: EmulatedAccess): void;
  /** What becomes of what cannot be carried out: an instruction that is not in memory, or the delivery of an exception. */
  readonly failure: PlainAction;
  /** What becomes of such an instruction, where it is something else. */
  readonly instructionFailure?: PlainAction;
}
