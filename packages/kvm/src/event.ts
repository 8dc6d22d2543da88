import type { HypervisorEvent } from '@heki/hypervisor';
import type { Gfn, Gpa, Pfn, U64, VirtualAddress } from '@heki/physical-memory';
import type { Exception } from '@heki/vcpu';
import type { UserExit } from './exit/vmm.ts';
import type { HostIncident } from './host/host-incident.ts';
import type { NestedExit } from './nested/nested-guest.ts';
import type { PolicyExit } from './policy/policy-exit.ts';

/** What became of one range of a page list. */
export type RangeOutcome =
  /** In force now. */
  | 'applied'
  /** In force with EXEC added, because the kernel's execution cannot be denied here. */
  | 'weakened'
  /** Answered with success and not stored (B-H1). */
  | 'dropped'
  | 'refused';

/** What KVM reports: the events that every backend has, and its own. */
export type KvmEvent =
  | HypervisorEvent
  | HostIncident
  | {
      /** An EPT violation as KVM sees it. */
      readonly type: 'ept-violation';
      readonly vcpu: number;
      readonly gpa: Gpa;
      readonly linear: VirtualAddress | undefined;
      readonly qualification: number;
      /** KVM's own error code: PFERR bits 0 to 4, 32 and 33. */
      readonly errorCode: number;
    }
  | {
      /** #NPF: the same for AMD. */
      readonly type: 'nested-page-fault';
      readonly vcpu: number;
      readonly gpa: Gpa;
      readonly errorCode: number;
    }
  | {
      /** The VMM runs another plane of a virtual CPU. */
      readonly type: 'plane-switch';
      readonly vcpu: number;
      readonly to: 0 | 1;
    }
  | {
      /** The linear addresses that cannot be mapped anew are others. */
      readonly type: 'hlat';
      /** Pages listed, and pages of the owner's tables. */
      readonly listed: number;
      readonly tables: number;
      /** Pages that should be listed and could not be, so far. */
      readonly unlisted: number;
    }
  | {
      /** The owner of the guest's code answered a request. */
      readonly type: 'code-request';
      /** Of the hypercall, `KvmHypercall.CODE_SEAL` to CODE_JIT. */
      readonly number: number;
      /** 0, the number of an image, or a negative error number. */
      readonly result: number;
      /** Why, when it is an error. */
      readonly refused: string | undefined;
    }
  | {
      /** A leaf was installed. */
      readonly type: 'mapped';
      readonly gfn: Gfn;
      /** 1 (4 KiB), 2 (2 MiB) or 3 (1 GiB). */
      readonly level: number;
      readonly pfn: Pfn;
      readonly entry: U64;
    }
  | {
      /** The access was allowed after all, or a leaf that grants it could not be made: the guest tries again. */
      readonly type: 'spurious';
      readonly vcpu: number;
      readonly gpa: Gpa;
    }
  | {
      /** All leaves that touch these frames were removed. */
      readonly type: 'zapped';
      readonly start: Gfn;
      readonly end: Gfn;
      readonly leaves: number;
    }
  | {
      /** Every virtual CPU dropped what it had cached of the second level. */
      readonly type: 'flushed';
      readonly vcpus: number;
    }
  | {
      /** An exception is pending for the guest. */
      readonly type: 'injected';
      readonly vcpu: number;
      readonly exception: Exception;
      /** `rights`: a page's rights forbid the access. `pin`: a pinned register bit would have been cleared. */
      readonly because: 'rights' | 'pin';
    }
  | {
      /** An exit of an L2 went to the hypervisor inside the guest. */
      readonly type: 'nested-exit';
      readonly vcpu: number;
      readonly exit: NestedExit;
    }
  | {
      /** A hypercall was answered. */
      readonly type: 'hypercall';
      readonly vcpu: number;
      readonly number: bigint;
      readonly arguments: readonly [bigint, bigint, bigint, bigint];
      readonly result: bigint;
    }
  | {
      /** A page of a page list was read. */
      readonly type: 'list-page';
      readonly gpa: bigint;
      readonly entries: bigint;
    }
  | {
      /** A range of a page list was dealt with. */
      readonly type: 'range';
      readonly start: number;
      /** Exclusive. */
      readonly end: number;
      /** MEM_ATTR bits as the guest sent them. */
      readonly permissions: number;
      readonly outcome: RangeOutcome;
    }
  | {
      /** KVM_RUN returned to the VMM. */
      readonly type: 'user-exit';
      readonly vcpu: number;
      readonly exit: UserExit | PolicyExit;
    }
  | {
      /** User space set memory attributes. */
      readonly type: 'attributes-set';
      readonly start: number;
      /** Exclusive. */
      readonly end: number;
      readonly attributes: number;
    }
  | {
      /** The VMM runs the other one of a pair of virtual CPUs: that of VTL1, which owns the policy, or of VTL0. */
      readonly type: 'vtl-switch';
      readonly vcpu: number;
      readonly to: 0 | 1;
    };
