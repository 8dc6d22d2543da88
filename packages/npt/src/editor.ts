import type { Pfn, PhysicalMemory, U64 } from '@heki/physical-memory';
import { createSecondLevelEditor, type SecondLevelEditor, type TableFrames } from '@heki/second-level';
import { AMD_ZEN4, type CpuProfile, EntryHigh, EntryLow } from '@heki/x86';

/** Address (51:12), PWT, PCD, bit 7 and G: stale either way. */
const TRANSLATION_LOW = 0xffff_f000 | EntryLow.PWT | EntryLow.PCD | EntryLow.PS | EntryLow.G;
const TRANSLATION_HIGH = 0x000f_ffff;

/**
 * An editor of nested page tables in `memory`: see {@link SecondLevelEditor}. The same as that of EPT but for the
 * entry format. Leaves must not use the PAT bit, which lies elsewhere in large leaves than in small ones.
 *
 * @param options.frames where table pages come from; each must be present in `memory`
 * @param options.root tables that such an editor built before; without it a new, empty root
 * @param options.levels the host's paging levels; 4 when left out
 * @param options.processor decides the largest legal leaf; `AMD_ZEN4` when left out
 * @param options.table more bits for entries that refer to tables, beside P, R/W and U/S
 * @param options.absent the value of absent entries, 0 when left out
 */
export function createNptEditor(options: {
  readonly memory: PhysicalMemory<Pfn>;
  readonly frames: TableFrames;
  readonly root?: Pfn | undefined;
  readonly levels?: 4 | 5;
  readonly processor?: CpuProfile;
  readonly table?: U64;
  readonly absent?: U64;
}): SecondLevelEditor {
  const { memory, frames, root, table = { low: 0, high: 0 }, processor = AMD_ZEN4 } = options;
  const format = {
    levels: options.levels ?? 4,
    largestLeaf: processor.gigabytePages ? 3 : 2,
    present: EntryLow.P,
    leaf: { mask: EntryLow.PS, large: EntryLow.PS, small: 0 },
    accessedDirty: EntryLow.A | EntryLow.D,
    table: { low: EntryLow.P | EntryLow.RW | EntryLow.US | table.low, high: table.high },
    absent: options.absent ?? { low: 0, high: 0 },
    flushOnClear: {
      low: TRANSLATION_LOW | EntryLow.P | EntryLow.RW | EntryLow.US | EntryLow.A | EntryLow.D,
      high: TRANSLATION_HIGH,
    },
    // With GMET, setting U/S takes supervisor fetches away.
    flushOnSet: { low: TRANSLATION_LOW | EntryLow.US, high: TRANSLATION_HIGH | EntryHigh.XD },
  } as const;
  return createSecondLevelEditor({ memory, frames, format, root });
}
