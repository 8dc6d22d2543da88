/** A part of a module as its author built it. */
export interface TrustedSection {
  /** A value of `LvbsSection`. */
  readonly kind: number;
  readonly bytes: Uint8Array;
  /** Where the loader may change it: relocations, alternatives, call sites. */
  readonly sites: readonly TrustedSite[];
  /** What its text may be patched into later, one entry for a site: jump labels, static calls. Default none. */
  readonly patches?: readonly TrustedPatch[];
}

/** Bytes of a section that the loader may change. */
export interface TrustedSite {
  /** From the start of the section. */
  readonly offset: number;
  readonly length: number;
  /** What may stand there beside what the author built, each `length` bytes. Default nothing else. */
  readonly values?: readonly Uint8Array[];
}

/** What a site becomes when its key is switched or its call is pointed at its target; the other variant is the no-op of its size. */
export interface TrustedPatch {
  /** From the start of the section. */
  readonly offset: number;
  /** 1 .. 5 bytes. */
  readonly bytes: Uint8Array;
}

/** A module that VTL1 lets VTL0 load. Stands for one whose signature it has checked. */
export interface TrustedModule {
  readonly name: string;
  readonly sections: readonly TrustedSection[];
}

/** A kernel that VTL1 lets VTL0 hand over to: the bytes of its segments, one behind the other. */
export interface TrustedKexecImage {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** What somebody whom VTL1 trusts has signed. */
export interface TrustedCode {
  readonly modules?: Iterable<TrustedModule>;
  readonly kexecImages?: Iterable<TrustedKexecImage>;
}
