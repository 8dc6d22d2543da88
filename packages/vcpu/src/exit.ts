import type { Gpa, Pfn, VirtualAddress } from '@heki/physical-memory';
import type { VmxInstruction } from './instructions/vmx-instruction.ts';

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
      /**
       * Basic exit reason 28: a MOV to CR0, CR3 or CR4, a CLTS or an LMSW that the guest/host mask or an SVM
       * intercept takes.
       */
      readonly reason: 'mov-to-cr';
      readonly cr: 0 | 3 | 4;
      /** The value as the guest wrote it; for CLTS and LMSW the whole register as the guest would then read it. */
      readonly value: bigint;
    }
  | { /** Basic exit reason 18, or SVM_EXIT_VMMCALL. */ readonly reason: 'hypercall' }
  | {
      /** Basic exit reasons 19 to 27, 50 and 53. */ readonly reason: 'vmx-instruction';
      readonly instruction: VmxInstruction;
    }
  | { readonly reason: 'rdmsr'; readonly msr: number }
  | { readonly reason: 'wrmsr'; readonly msr: number; readonly value: bigint }
  | {
      readonly reason: 'descriptor-table';
      readonly register: 'gdtr' | 'idtr' | 'ldtr' | 'tr';
      /** The base address for GDTR and IDTR, the selector for LDTR and TR. */
      readonly value: bigint;
      /** The limit, for GDTR and IDTR. */
      readonly limit?: number;
    }
  | {
      /** Basic exit reason 59: a VMFUNC that the processor does not carry out. */
      readonly reason: 'vmfunc';
      /** EAX. */
      readonly leaf: number;
      /** ECX. */
      readonly index: number;
    }
  | { /** The guest can make no progress: a fault while delivering #DF. */ readonly reason: 'triple-fault' };

/**
 * Why a second level refused an access: what `fault` of the `SecondLevel` of a virtual CPU holds. The virtual
 * CPU makes the {@link VmExit} from it, and adds the linear address.
 */
export type SecondLevelFault =
  | {
      readonly kind: 'ept-violation';
      readonly qualification: number;
      readonly gpa: Gpa;
      /** The deciding entry has suppress-#VE (bit 63) clear: the violation may become #VE (SDM 3C 26.5.7.1). */
      readonly convertible?: boolean;
    }
  | { readonly kind: 'ept-misconfiguration'; readonly gpa: Gpa }
  | { readonly kind: 'nested-page-fault'; readonly info1: bigint; readonly gpa: Gpa }
  | {
      /** A second-level table lies where the host has no memory: what a processor would do is unknown. */
      readonly kind: 'absent-table';
      readonly gpa: Gpa;
      readonly table: Pfn;
    };
