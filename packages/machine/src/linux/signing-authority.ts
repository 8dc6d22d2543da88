import { KEXEC_CONTROL_PAGE, MODULE_MEMORY, type ModuleImage } from '@heki/linux';

/** A module as it was signed: the bytes of its sections, and where the loader may change them. */
export interface SignedModule {
  readonly name: string;
  readonly sections: readonly {
    /** Its number in mod_mem_type. */
    readonly kind: number;
    readonly bytes: Uint8Array;
    readonly sites: readonly { readonly offset: number; readonly length: number }[];
  }[];
}

/** A distributor that signs modules. Give `signed` to a secure kernel that trusts it, and `sign` to a machine as `presentSignature`. */
export interface SigningAuthority {
  /** What is signed by now, and the code that hands over to another kernel. */
  readonly signed: {
    readonly modules: Iterable<SignedModule>;
    readonly kexecImages: readonly { readonly name: string; readonly bytes: Uint8Array }[];
  };
  sign(image: ModuleImage): void;
}

/** Bytes of a call at the beginning of a function, which the loader makes a no-op. */
const CALL = 5;

/** An authority that has signed no module yet. A module replaces the one of its name. */
export function createSigningAuthority(): SigningAuthority {
  const modules = new Map<string, SignedModule>();
  return {
    signed: {
      modules: { [Symbol.iterator]: () => modules.values() },
      kexecImages: [{ name: 'relocate_kernel', bytes: KEXEC_CONTROL_PAGE }],
    },
    sign: (image) => void modules.set(image.name, signedModule(image)),
  };
}

/** The loader changes lock prefixes and fentry calls by itself, before anybody compares the text. */
function signedModule({ name, memory, sites = {} }: ModuleImage): SignedModule {
  const changed = [
    ...(sites.lockPrefixes ?? []).map((offset) => ({ offset, length: 1 })),
    ...(sites.ftrace ?? []).map((offset) => ({ offset, length: CALL })),
  ];
  return {
    name,
    sections: MODULE_MEMORY.flatMap((type, kind) => {
      const bytes = memory[type];
      return bytes === undefined ? [] : [{ kind, bytes, sites: type === 'text' ? changed : [] }];
    }),
  };
}
