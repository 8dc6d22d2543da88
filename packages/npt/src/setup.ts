import type { Pfn } from '@heki/physical-memory';
import { AMD_ZEN4, type CpuProfile, checkLevels } from '@heki/x86';
import { NptError } from './error.ts';

/** Bits of the VMCB that change what nested paging does (offset 0x90). Those left out are 0. */
export interface NptControls {
  /** Guest mode execute trap, bit 3. */
  readonly gmet?: boolean;
  /** Read-only guest page tables, bit 6: the page walk may write A and D where the nested tables deny writes. */
  readonly readOnlyGuestPageTables?: boolean;
}

/** What nested paging runs with. The walk obeys the host's registers, not the guest's (APM 2 15.25.3). */
export interface NptSetup {
  /** nCR3 >> 12: the frame of the root table. */
  readonly root: Pfn;
  /** 5 when the host runs with CR4.LA57. Default 4. */
  readonly levels?: 4 | 5;
  /** The host's EFER.NXE. Default true. */
  readonly hostNxe?: boolean;
  /** The host's CR4.SMEP: with it, or with NXE, a fetch is reported as one. Default false. */
  readonly hostSmep?: boolean;
  /** Default `AMD_ZEN4`. */
  readonly processor?: CpuProfile;
  readonly controls?: NptControls;
}

/**
 * `setup` with its defaults.
 *
 * @throws {NptError} when the processor has no nested paging, or not what a control asks for
 * @throws {X86Error} unless `levels` is 4 or 5
 */
export function resolveSetup(setup: NptSetup): Required<NptSetup> {
  const { root, levels = 4, hostNxe = true, hostSmep = false, processor = AMD_ZEN4, controls = {} } = setup;
  checkLevels(levels);
  if (processor.npt === undefined) throw new NptError(`processor ${processor.name} has no nested paging`);
  for (const control of ['gmet', 'readOnlyGuestPageTables'] as const) {
    if (controls[control] === true && !processor.npt[control]) {
      throw new NptError(`processor ${processor.name} does not have ${control}`);
    }
  }
  return { root, levels, hostNxe, hostSmep, processor, controls };
}
