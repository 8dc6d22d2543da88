import { KvmMemoryExitFlag } from '@heki/hypercall/kvm';
import type { Gpa } from '@heki/physical-memory';

/** An exit of KVM_RUN that the guest does not go on from until the VMM has decided. `payload`: the bytes of `kvm_run` from byte 32 on. */
export type PolicyExit =
  | {
      /** KVM_EXIT_HYPERCALL: a request of the guest. */
      readonly reason: 'hypercall';
      readonly number: number;
      readonly call: bigint;
      readonly arguments: readonly [bigint, bigint, bigint];
      readonly payload: Uint8Array;
    }
  | {
      /** KVM_EXIT_MEMORY_FAULT: the attributes forbid an access. Neither the linear address nor whose code it was is told. */
      readonly reason: 'memory-fault';
      readonly number: number;
      /** {@link KvmMemoryExitFlag} bits. */
      readonly flags: number;
      /** The page: its low 12 bits are 0. */
      readonly gpa: Gpa;
      readonly size: number;
      readonly payload: Uint8Array;
    }
  | {
      /** A MOV to a control register that would clear a pinned bit; numbered and laid out as KVM_EXIT_HEKI_DENIAL, but not yet refused. */
      readonly reason: 'register-write';
      readonly number: number;
      readonly cr: 0 | 4;
      readonly value: bigint;
      readonly payload: Uint8Array;
    };
