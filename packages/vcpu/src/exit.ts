import type { Gpa, VirtualAddress } from '@heki/physical-memory';

/** An exception that the processor or a hypervisor delivers to the guest (SDM 3A 6.15). */
export interface Exception {
  /** 8 #DF, 13 #GP, 14 #PF, 20 #VE. */
  readonly vector: number;
  readonly errorCode: number;
  /** The linear address that CR2 takes, for #PF. */
  readonly cr2?: VirtualAddress;
}

/** Why a virtual CPU left the guest. */
export type VmExit =
  | {
      /** Basic exit reason 48 (SDM 3C 28.2.1, table 28-7). */
      readonly reason: 'ept-violation';
      readonly qualification: number;
      readonly gpa: Gpa;
      /** The guest linear address, when qualification bit 7 says it is valid. */
      readonly gla: VirtualAddress | undefined;
    }
  | { /** Basic exit reason 49. */ readonly reason: 'ept-misconfiguration'; readonly gpa: Gpa }
  | {
      /** SVM_EXIT_NPF, 0x400. */
      readonly reason: 'nested-page-fault';
      /** EXITINFO1: bits 31:0 the error code, bit 32 final address, bit 33 guest page walk. */
      readonly info1: bigint;
      /** EXITINFO2. */
      readonly gpa: Gpa;
    }
  | {
      /** Basic exit reason 28: a MOV to CR0, CR3 or CR4 that the guest/host mask intercepts. */
      readonly reason: 'mov-to-cr';
      readonly cr: 0 | 3 | 4;
      readonly value: bigint;
    }
  | { /** Basic exit reason 18, or SVM_EXIT_VMMCALL. */ readonly reason: 'hypercall' }
  | { readonly reason: 'rdmsr'; readonly msr: number }
  | { readonly reason: 'wrmsr'; readonly msr: number; readonly value: bigint }
  | {
      readonly reason: 'descriptor-table';
      readonly register: 'gdtr' | 'idtr' | 'ldtr' | 'tr';
      readonly value: bigint;
    }
  | { /** The guest can make no progress: a fault while delivering #DF. */ readonly reason: 'triple-fault' };

/** What the hypervisor does about a {@link VmExit}. */
export type ExitAction =
  /** Enter the guest again at the same instruction. */
  | { readonly kind: 'resume' }
  /** The instruction was carried out for the guest: go on behind it. */
  | { readonly kind: 'skip' }
  /** Enter the guest again at the same instruction with this exception pending. */
  | { readonly kind: 'inject'; readonly exception: Exception }
  /** Leave to the VMM and do not enter again: the VM is broken or shut down. */
  | { readonly kind: 'stop'; readonly why: string };
