import { KEXEC_CONTROL_PAGE, MODULE_MEMORY, type ModuleImage, type ModuleTextChanges } from '@heki/linux';

/** A module as it was signed: the bytes of its sections, and what may become of them. */
export interface SignedModule {
  readonly name: string;
  readonly sections: readonly {
    /** Its number in mod_mem_type. */
    readonly kind: number;
    readonly bytes: Uint8Array;
    /** Where the loader may change them, and what it may put there. */
    readonly sites: readonly {
      readonly offset: number;
      readonly length: number;
      readonly values: readonly Uint8Array[];
    }[];
    /** What its text may be patched into later. */
    readonly patches: readonly { readonly offset: number; readonly bytes: Uint8Array }[];
  }[];
}

/** A distributor that signs modules. Give `signed` to a secure kernel that trusts it, and `sign` to a machine as `presentSignature`. */
export interface SigningAuthority {
  /** What is signed by now, and the code that hands over to another kernel. */
  readonly signed: {
    readonly modules: Iterable<SignedModule>;
    readonly kexecImages: readonly { readonly name: string; readonly bytes: Uint8Array }[];
  };
  /** Without `changes` the module is to stay as its author built it. */
  sign(image: ModuleImage, changes?: ModuleTextChanges): void;
}

/** An authority that has signed no module yet. A module replaces the one of its name. */
export function createSigningAuthority(): SigningAuthority {
  const modules = new Map<string, SignedModule>();
  return {
    signed: {
      modules: { [Symbol.iterator]: () => modules.values() },
      kexecImages: [{ name: 'relocate_kernel', bytes: KEXEC_CONTROL_PAGE }],
    },
    sign: (image, changes = { loader: [], patches: [] }) =>
      void modules.set(image.name, signedModule(image, changes)),
  };
}

function signedModule({ name, memory }: ModuleImage, changes: ModuleTextChanges): SignedModule {
  const sites = changes.loader.map(({ offset, bytes }) => ({
    offset,
    length: bytes.length,
    values: [bytes],
  }));
  const { patches } = changes;
  return {
    name,
    sections: MODULE_MEMORY.flatMap((type, kind) => {
      const bytes = memory[type];
      if (bytes === undefined) return [];
      return type === 'text' ? [{ kind, bytes, sites, patches }] : [{ kind, bytes, sites: [], patches: [] }];
    }),
  };
}
