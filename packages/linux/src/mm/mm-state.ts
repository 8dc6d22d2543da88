import type { Gfn, PhysicalMemory } from '@heki/physical-memory';
import type { BootAllocator } from '../boot/boot-allocator.ts';
import type { HekiState } from '../heki/heki-state.ts';
import type { LayoutState } from '../layout/layout-state.ts';
import type { KernelMemory } from './kernel-memory.ts';
import type { PageAllocator } from './page-allocator.ts';
import type { PageTables } from './page-tables.ts';
import type { Vmalloc } from './vm-area.ts';

/** Memory management: its own state, where the kernel lies, and Heki, which it tells of every change. */
export interface MmState extends LayoutState, HekiState {
  /** Guest memory as hardware has it: for early boot, and for whoever only reads. */
  readonly physicalMemory: PhysicalMemory<Gfn>;
  /** How the kernel reaches memory just now. */
  memory: KernelMemory;
  readonly tables: PageTables;
  readonly boot: BootAllocator;
  readonly pages: PageAllocator;
  readonly vmalloc: Vmalloc;
  /** One past the last frame of memory, with what was plugged in. */
  memoryEnd: Gfn;
  /** `slab_is_available`: frames come from the page allocator. */
  pagesReady: boolean;
  /** `kernel_set_to_readonly`. */
  setToReadonly: boolean;
  /** A change that makes a page writable and executable is refused, not only warned about. */
  readonly refuseWx: boolean;
}
