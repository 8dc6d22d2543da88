/** A part of a module as its author built it. */
export interface TrustedSection {
  /** A value of `LvbsSection`. */
  readonly kind: number;
  readonly bytes: Uint8Array;
  /** Where the loader may change it: relocations, alternatives, call sites. */
  readonly sites: readonly { readonly offset: number; readonly length: number }[];
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
