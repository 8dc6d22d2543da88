/** What becomes of a module's text beside its bytes, by offsets: what whoever signs it has to vouch for. */
export interface ModuleTextChanges {
  /** What the loader may put in place of what the author built. */
  readonly loader: readonly { readonly offset: number; readonly bytes: Uint8Array }[];
  /** What is patched once the text is read-only: jump labels, static calls. */
  readonly patches: readonly { readonly offset: number; readonly bytes: Uint8Array }[];
}

/** The kinds of memory of a module (`enum mod_mem_type`, 6.4), in the order of their allocation. */
export const MODULE_MEMORY = [
  'text',
  'data',
  'rodata',
  'ro_after_init',
  'init_text',
  'init_data',
  'init_rodata',
] as const;

/** One of {@link MODULE_MEMORY}. */
export type ModuleMemory = (typeof MODULE_MEMORY)[number];

/** Places in a module's text, by their offsets. */
export interface ModuleSites {
  /** Lock prefixes, a byte each, which a kernel with one processor does not need (`.smp_locks`). */
  readonly lockPrefixes?: readonly number[];
  /** Calls at the beginning of functions, five bytes each, which become no-ops (`__mcount_loc`). */
  readonly ftrace?: readonly number[];
  /** No-ops at the beginning of functions, five bytes each, as objtool leaves them: nothing is to be done before they can be traced. */
  readonly traceable?: readonly number[];
  /** No-ops of five bytes of static keys that are enabled, which become jumps (`__jump_table`). */
  readonly jumpLabels?: readonly number[];
  /** Static calls, five bytes each, which are pointed at their targets (`.static_call_sites`). */
  readonly staticCalls?: readonly number[];
}

/** A module as the loader gets it, relocated. */
export interface ModuleImage {
  readonly name: string;
  /** The bytes of each kind of memory that the module has; at least one byte each. */
  readonly memory: { readonly [type in ModuleMemory]?: Uint8Array };
  /** Offsets in `text` of what is patched when the module is loaded. */
  readonly sites?: ModuleSites;
  /** Its file has a signature, which counts where a secure kernel looks for one. Default true. */
  readonly signed?: boolean;
}
