import type { EarlyInitResult, LateInitResult, VirtualRange } from '@heki/guest';
import type { Gfn, VirtualAddress, VirtualFrame } from '@heki/physical-memory';
import type { LeafLevel } from '@heki/x86';
import type { BootStep } from './boot/boot-steps.ts';
import type { StartFailure } from './smp/start-failure.ts';

/** Names of the hooks of Heki in Linux. */
export type HekiHook =
  | 'map'
  | 'unmap'
  | 'update'
  | 'update-failed'
  | 'change'
  | 'in-force'
  | 'text-poke-start'
  | 'text-poke-end';

/** What a kernel reports while it works. Ranges of virtual frames exclude their end. */
export type LinuxEvent =
  | {
      /** A step of boot begins. */
      readonly type: 'boot-step';
      readonly step: BootStep;
    }
  | {
      /** From now on the kernel reaches memory through its virtual CPU only. */
      readonly type: 'memory-through-vcpu';
    }
  | { /** A line of the kernel's log. */ readonly type: 'log'; readonly text: string }
  | { /** A WARN of the kernel. */ readonly type: 'warning'; readonly text: string }
  | {
      /** change_page_attr went over a range. */
      readonly type: 'attributes';
      readonly range: VirtualRange;
      /** Names of the bits that were set and cleared: P, RW, D, XD. */
      readonly set: readonly string[];
      readonly clear: readonly string[];
      /** Entries that changed in the range itself, and in aliases of its frames. */
      readonly changed: number;
      readonly changedAliases: number;
    }
  | {
      /** A large leaf is split by one level. */
      readonly type: 'leaf-split';
      readonly frame: VirtualFrame;
      /** The level of the leaf: 2 or 3. */
      readonly level: LeafLevel;
    }
  | { readonly type: 'mapped' | 'unmapped'; readonly range: VirtualRange }
  | {
      /** A hook of Heki was called. */
      readonly type: 'heki-hook';
      readonly hook: HekiHook;
      /** The range of virtual frames; for text pokes the frames that are patched; for `change` how many leaves. */
      readonly range?: VirtualRange;
      readonly frames?: readonly Gfn[];
      readonly leaves?: number;
      /** 0 or a negative error number: then the kernel gave up its change. */
      readonly result: number;
    }
  | { /** `heki_early_init` is done. */ readonly type: 'heki-early-init'; readonly result: EarlyInitResult }
  | { /** `heki_late_init` is done. */ readonly type: 'heki-late-init'; readonly result: LateInitResult }
  | {
      /** The owner of the kernel's code was asked to seal it. */
      readonly type: 'code-sealed';
      /** The number of the kernel's image, or a negative error number. */
      readonly result: number;
    }
  | {
      /** Pages of the image went to the page allocator. */
      readonly type: 'pages-freed';
      readonly what: string;
      readonly range: VirtualRange;
    }
  | {
      readonly type: 'module';
      readonly name: string;
      readonly step: 'allocated' | 'formed' | 'live' | 'init-freed' | 'unloaded';
    }
  | {
      /** A processor came up, went down, or did not come up. */
      readonly type: 'processor';
      readonly number: number;
      readonly online: boolean;
      readonly failure: StartFailure | undefined;
    }
  | {
      /** Kernel text was patched. */
      readonly type: 'text-poke';
      readonly address: VirtualAddress;
      readonly bytes: number;
      /** Where the temporary address space had the page, in the user half; `undefined` when a secure kernel wrote. */
      readonly alias: VirtualAddress | undefined;
    };
