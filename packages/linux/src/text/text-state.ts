import type { VirtualFrame } from '@heki/physical-memory';
import type { CodeState } from '../code/code-state.ts';
import type { PageTables } from '../mm/page-tables.ts';
import type { SmpState } from '../smp/smp-state.ts';
import type { PokePlaces } from './poke-symbols.ts';

/** `poking_mm`: an address space whose kernel half is the kernel's, and in whose user half text is writable for a moment. */
export interface TemporaryMm {
  readonly tables: PageTables;
  /** `poking_addr`: two pages of the user half. */
  readonly address: VirtualFrame;
}

/** Patching of text, and what it needs of processors and memory. */
export interface TextState extends SmpState, CodeState {
  /** `poking_mm`. */
  poking: TemporaryMm | undefined;
  /** `system_state` is SYSTEM_BOOTING: until the first threads run. */
  booting: boolean;
  /** Where the data of the breakpoint handler lie. */
  readonly pokePlaces: PokePlaces;
}
