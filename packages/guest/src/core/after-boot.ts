import { MEM_ATTR_EXEC, MEM_ATTR_READ, MEM_ATTR_WRITE } from '@heki/hypercall/kvm';
import { createMemoryTable, type MemoryTable } from '@heki/memory-table';
import { frameOf, type Gfn } from '@heki/physical-memory';
import type { RangeSink } from '../counters/page-counters.ts';
import type { HekiGuest } from '../heki-guest.ts';
import type { HekiSection, HekiSectionKind, HekiSecureKernel } from '../hypervisor/heki-hypervisor.ts';

const DATA = MEM_ATTR_READ | MEM_ATTR_WRITE;
const RODATA = MEM_ATTR_READ;
const TEXT = MEM_ATTR_READ | MEM_ATTR_EXEC;

/** What the secure kernel gives each part of a module, from validation on. */
const GIVEN: { readonly [kind in HekiSectionKind]: number } = {
  text: TEXT,
  data: DATA,
  rodata: RODATA,
  // Read-only once init memory is freed.
  'ro-after-init': DATA,
  'init-text': TEXT,
  'init-data': DATA,
  'init-rodata': RODATA,
};

/**
 * What the second level grants to pages from the end of boot on, as far as the kernel knows. Nothing is asked for any more: a
 * change that leaves a page with less than it is granted goes on unenforced, one that needs more cannot be had.
 */
export class GrantedRights {
  readonly #granted: MemoryTable<number> = createMemoryTable();

  /** Hands on to `sink` what is asked for while boot lasts, and remembers it. */
  recording(sink: RangeSink): RangeSink {
    return {
      add: (start, end, permissions, before) => {
        this.#granted.set(start, end, permissions & (DATA | TEXT));
        sink.add(start, end, permissions, before);
      },
    };
  }

  /**
   * A sink that finds out whether pages need more in the end than they are granted: on the way, when one of several mappings has changed,
   * they may. Frames that were never asked for have every right.
   */
  checking(): RangeSink & { isExceeded(): boolean } {
    const wanted: MemoryTable<number> = createMemoryTable();
    const exceeds = (granted: number | undefined, permissions: number): boolean =>
      granted !== undefined && (permissions & (DATA | TEXT) & ~granted) !== 0;
    return {
      add: (start, end, permissions) => wanted.set(start, end, permissions),
      isExceeded: () =>
        [...wanted.extents()].some(({ start, end, value }) =>
          this.#granted.some(start, end, (granted) => exceeds(granted, value)),
        ),
    };
  }

  give({ start, end }: HekiSection, permissions: number): void {
    this.#granted.set(frameOf(start), Math.ceil(end / 4096) as Gfn, permissions);
  }
}

/** What the kernel asks the secure kernel for when boot is over; `granted` follows its outcome. */
export function createAfterBoot(
  calls: HekiSecureKernel,
  granted: GrantedRights,
): NonNullable<HekiGuest['secureKernel']> {
  const modules = new Map<number, readonly HekiSection[]>();
  const free = (sections: readonly HekiSection[]): void => {
    for (const section of sections) granted.give(section, DATA);
  };
  return {
    validateModule(sections, patches) {
      const token = calls.validateModule(sections, patches);
      if (token <= 0) return token;
      modules.set(token, sections);
      for (const section of sections) granted.give(section, GIVEN[section.kind]);
      return token;
    },
    freeModuleInit(token) {
      const result = calls.freeModuleInit(token);
      if (result !== 0) return result;
      const sections = modules.get(token) ?? [];
      const isInit = ({ kind }: HekiSection): boolean => kind.startsWith('init-');
      free(sections.filter(isInit));
      const rest = sections.filter((section) => !isInit(section));
      for (const section of rest) if (section.kind === 'ro-after-init') granted.give(section, RODATA);
      modules.set(token, rest);
      return 0;
    },
    unloadModule(token) {
      const result = calls.unloadModule(token);
      if (result !== 0) return result;
      free(modules.get(token) ?? []);
      modules.delete(token);
      return 0;
    },
    patchText: (patch) => calls.patchText(patch),
    validateKexec(segments) {
      const result = calls.validateKexec(segments);
      if (result === 0) for (const segment of segments) granted.give(segment, GIVEN[segment.kind]);
      return result;
    },
  };
}
