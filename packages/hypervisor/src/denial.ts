import type { Gpa, VirtualAddress } from '@heki/physical-memory';

/** What a refused access to memory wanted. */
export type MemoryAccess =
  | 'read'
  | 'write'
  | 'supervisor-execute'
  | 'user-execute'
  /** The processor's read of a guest paging-structure entry. */
  | 'page-walk'
  /** The processor's write of an accessed or dirty flag in a guest paging-structure entry. */
  | 'page-walk-update';

/** Something that a guest tried and the hypervisor refused. */
export type Denial =
  | {
      readonly kind: 'memory';
      readonly gpa: Gpa;
      /** The linear address, where the hardware gives it. */
      readonly linear: VirtualAddress | undefined;
      readonly access: MemoryAccess;
    }
  | {
      readonly kind: 'register';
      /** `cr0`, `cr4`, or as `registerName` has it. */
      readonly register: string;
      /** 0, as `value`, for a table register where the hypervisor is not told. */
      readonly old: bigint;
      readonly value: bigint;
    };

/** What is done about a denied access. */
export type Verdict =
  /** #PF into the guest. */
  | 'page-fault'
  /** #GP(0) into the guest. */
  | 'general-protection'
  /** The instruction has no effect and the guest goes on behind it. */
  | 'skip'
  /** The instruction is carried out for the guest, once. */
  | 'allow-once'
  /** The virtual machine stops. */
  | 'stop';
