import {
  createEpt,
  createEptEditor,
  type Ept,
  type EptControls,
  type EptFault,
  type EptLeafOptions,
  EptLow,
  encodeEptp,
  eptLeaf,
} from '@heki/ept';
import {
  createFrameAllocator,
  createRam,
  type Gfn,
  type Hpa,
  type Pfn,
  type PhysicalMemory,
  pfn,
  type VirtualAddress,
  writeU64,
} from '@heki/physical-memory';
import type { SecondLevelEditor } from '@heki/second-level';
import {
  type Access,
  type CpuProfile,
  EntryLow,
  INTEL_VT_RP,
  type PagingRegisters,
  pagingRegisters,
  type Translation,
  translate,
} from '@heki/x86';

/** A guest of a few pages that the tables and traces in the documentation are made with. */
export interface DocumentedGuest {
  readonly memory: PhysicalMemory<Pfn>;
  readonly registers: PagingRegisters;
  readonly editor: SecondLevelEditor;
  readonly ept: Ept;
  translate(access: Access): Translation<EptFault>;
}

/** Guest frames of the four guest tables, root first. */
const GUEST_TABLES = [0x1010, 0x1011, 0x1012, 0x1013] as const;
/** The guest frame of the page that is accessed. */
const GUEST_PAGE = 0x1000;
/** R, W, XS and XU. */
export const ALL_RIGHTS: number = EptLow.R | EptLow.W | EptLow.X | EptLow.XU;

/** Makes a guest that has `va` mapped to {@link GUEST_PAGE}, whose memory EPT maps from host frame 0x40000 on. */
export function createGuest(options: {
  readonly va: VirtualAddress;
  /** P, R/W and U/S of every guest entry. */
  readonly guestRights: number;
  /** A and D of the guest's PTE; the other entries have A set. */
  readonly guestFlags?: number;
  readonly accessedDirty: boolean;
  readonly controls?: EptControls | undefined;
  readonly processor?: CpuProfile;
  /** The EPT leaf over the page. */
  readonly page?: EptLeafOptions;
  /** The EPT leaf over the guest's last table; `undefined` leaves it absent. */
  readonly pageTable?: EptLeafOptions | undefined;
}): DocumentedGuest {
  const { va, processor = INTEL_VT_RP } = options;
  const host = 0x4_0000;
  const memory = createRam<Pfn>({ ranges: [{ start: pfn(0), end: pfn(0x8_0000) }] });
  const frames = createFrameAllocator<Pfn>({ ranges: [{ start: pfn(0x100), end: pfn(0x200) }] });
  const editor = createEptEditor({ memory, frames, processor });
  const map = (first: number, end: number, leaf: EptLeafOptions): void => {
    editor.map(first as Gfn, end as Gfn, (host + first) as Pfn, eptLeaf(leaf));
  };
  map(0, 0x4_0000, { rights: ALL_RIGHTS });
  if (options.page !== undefined) map(GUEST_PAGE, GUEST_PAGE + 1, options.page);
  const lastTable = GUEST_TABLES[3];
  if ('pageTable' in options) {
    if (options.pageTable === undefined) editor.unmap(lastTable as Gfn, (lastTable + 1) as Gfn);
    else map(lastTable, lastTable + 1, options.pageTable);
  }

  GUEST_TABLES.forEach((table, depth) => {
    const index = Number((va >> BigInt(39 - 9 * depth)) & 511n);
    const next = GUEST_TABLES[depth + 1];
    const flags = next === undefined ? (options.guestFlags ?? EntryLow.A | EntryLow.D) : EntryLow.A;
    writeU64<Pfn>(memory, ((host + table) * 4096 + index * 8) as Hpa, {
      low: (next ?? GUEST_PAGE) * 4096 + (options.guestRights | flags),
      high: 0,
    });
  });

  const ept = createEpt({
    memory,
    eptp: encodeEptp({
      accessedDirty: options.accessedDirty,
      root: editor.root,
    }),
    processor,
    controls: options.controls,
  });
  const registers = pagingRegisters({ cr3: BigInt(GUEST_TABLES[0]) << 12n });
  return {
    memory,
    registers,
    editor,
    ept,
    translate: (access) => translate(registers, memory, va, access, processor, ept),
  };
}

/** `allowed`, or the exit that the access ends in. */
export function verdictOf({ outcome }: Translation<EptFault>, mask = -1): string {
  if (outcome.kind === 'mapped') return 'allowed';
  if (outcome.kind !== 'second-level') return outcome.kind;
  const { fault } = outcome;
  if (fault.kind !== 'ept-violation') return fault.kind;
  return `violation 0x${(fault.qualification & mask).toString(16)}`;
}
