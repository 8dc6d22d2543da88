/**
 * Numbers of exits and capabilities between KVM and the VMM. They are allotted one after the other, so those
 * of an unmerged series hold only together with the base it was posted on.
 */
export interface KvmAbi {
  /** What `exit_reason` of `struct kvm_run` says. */
  readonly exits: {
    readonly MEMORY_FAULT: number;
    /** A guest pinned bits of a control register; absent where there is no Heki. */
    readonly HEKI_CONFIGURE?: number;
    /** A guest's write of a pinned control register was refused. */
    readonly HEKI_DENIAL?: number;
  };
  /** Arguments of KVM_CHECK_EXTENSION and KVM_ENABLE_CAP. */
  readonly capabilities: {
    readonly MEMORY_ATTRIBUTES: number;
    readonly GUEST_MEMFD: number;
    readonly VM_TYPES: number;
    readonly HEKI_CONFIGURE?: number;
    readonly HEKI_DENIAL?: number;
  };
  /** What `upstream` means by a number that this revision gives to Heki: name of the exit or capability. */
  readonly reusedUpstream: { readonly exits: NumberNames; readonly capabilities: NumberNames };
}

/** Names by number. */
export type NumberNames = { readonly [number: number]: string };

/**
 * The revisions: `heki-v2` (6.6-rc5 with guest_memfd v13), `heki-v3` (6.9), `upstream` (6.16, which has no Heki)
 * and `renumbered`, this project's own numbers for a KVM that has both. Upstream has since given every number of
 * v2 and v3 to something else, so those of `renumbered` lie far above any that upstream will reach one by one:
 * 0x48454b49 is `HEKI` in ASCII.
 */
export const KVM_ABI_REVISIONS = {
  'heki-v2': {
    exits: { MEMORY_FAULT: 38, HEKI_CONFIGURE: 39, HEKI_DENIAL: 40 },
    capabilities: {
      MEMORY_ATTRIBUTES: 232,
      GUEST_MEMFD: 233,
      VM_TYPES: 234,
      HEKI_CONFIGURE: 235,
      HEKI_DENIAL: 236,
    },
    reusedUpstream: {
      exits: { 39: 'MEMORY_FAULT', 40: 'TDX' },
      capabilities: { 235: 'VM_TYPES', 236: 'PRE_FAULT_MEMORY' },
    },
  },
  'heki-v3': {
    exits: { MEMORY_FAULT: 39, HEKI_CONFIGURE: 40, HEKI_DENIAL: 41 },
    capabilities: {
      MEMORY_ATTRIBUTES: 233,
      GUEST_MEMFD: 234,
      VM_TYPES: 235,
      HEKI_CONFIGURE: 236,
      HEKI_DENIAL: 237,
    },
    reusedUpstream: {
      exits: { 40: 'TDX', 41: 'ARM_SEA' },
      capabilities: { 236: 'PRE_FAULT_MEMORY', 237: 'X86_APIC_BUS_CYCLES_NS' },
    },
  },
  upstream: {
    exits: { MEMORY_FAULT: 39 },
    capabilities: { MEMORY_ATTRIBUTES: 233, GUEST_MEMFD: 234, VM_TYPES: 235 },
    reusedUpstream: { exits: {}, capabilities: {} },
  },
  renumbered: {
    exits: { MEMORY_FAULT: 39, HEKI_CONFIGURE: 0x48454b49, HEKI_DENIAL: 0x48454b4a },
    capabilities: {
      MEMORY_ATTRIBUTES: 233,
      GUEST_MEMFD: 234,
      VM_TYPES: 235,
      HEKI_CONFIGURE: 0x48454b49,
      HEKI_DENIAL: 0x48454b4a,
    },
    reusedUpstream: { exits: {}, capabilities: {} },
  },
} as const satisfies { readonly [revision: string]: KvmAbi };

/** A name of {@link KVM_ABI_REVISIONS}. */
export type KvmAbiRevision = keyof typeof KVM_ABI_REVISIONS;

/** `reason` of the Heki exits, and the bits of argument 0 when their capabilities are enabled (Heki v2 3/19). */
export const KVM_HEKI_EXIT_REASON_CR0 = 1 << 0;
export const KVM_HEKI_EXIT_REASON_CR4 = 1 << 1;
/** Every exit reason; what KVM_CHECK_EXTENSION answers for both capabilities. */
export const KVM_HEKI_EXIT_REASON_VALID_MASK = 3;
