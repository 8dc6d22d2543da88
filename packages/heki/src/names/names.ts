import type { VirtualAddress } from '@heki/physical-memory';
import type { KaslrOffset, KernelNames } from '@heki/symbols';
import type { VirtualMemory } from '@heki/vmcore';
import type { ImageMemory } from '../image/image-memory.ts';
import type { Warning } from '../warning.ts';

/** The names of what is in a kernel, and where they come from. */
export interface Names {
  readonly kernel: KernelNames;
  /** What the kernel maps, with the bytes of its image where one was named. */
  readonly memory: VirtualMemory;
  readonly image: ImageMemory | undefined;
  readonly source:
    | { readonly kind: 'kallsyms'; readonly by: 'vmcoreinfo' | 'structure' }
    | { readonly kind: 'file'; readonly path: string }
    | { readonly kind: 'none'; readonly why: string };
  readonly kaslr: KaslrOffset | undefined;
  /** Symbols that VMCOREINFO and what stands beside the snapshot name: enough to find an address, too few to name one. */
  readonly beside: ReadonlyMap<string, VirtualAddress>;
  /** What a reader of names must know. */
  readonly warnings: readonly Warning[];
}
