/** An exit of KVM_RUN to user space, with the decoded payload. */
export type UserExit =
  | {
      /** KVM_EXIT_HEKI_CONFIGURE: a pin was set. It is in force already, and the VMM cannot veto it. */
      readonly reason: 'heki-configure';
      readonly number: number;
      readonly cr: 0 | 4;
      /** The bits of this call. */
      readonly pinned: bigint;
      /** The 64 payload bytes of `kvm_run`, from byte 32 on. */
      readonly payload: Uint8Array;
    }
  | {
      /** KVM_EXIT_HEKI_DENIAL: a write that would have cleared a pinned bit was refused. */
      readonly reason: 'heki-denial';
      readonly number: number;
      readonly cr: 0 | 4;
      /** The value that the guest wanted to write. */
      readonly value: bigint;
      readonly payload: Uint8Array;
    }
  | {
      /** KVM_EXIT_MMIO: no memslot at this address. */
      readonly reason: 'mmio';
      readonly number: number;
      readonly gpa: number;
    };

/** User space as KVM sees it. */
export interface Vmm {
  /** KVM_RUN returned; the guest goes on when this returns. */
  onExit?(exit: UserExit): void;
}
