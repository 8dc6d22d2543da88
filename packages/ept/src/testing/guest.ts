import {
  createFrameAllocator,
  createRam,
  type Gfn,
  type Hpa,
  type Pfn,
  type PhysicalMemory,
  pfn,
  type VirtualAddress,
  virtualAddress,
  writeU64,
} from '@heki/physical-memory';
import type { SecondLevelEditor } from '@heki/second-level';
import { type Access, applyUpdates, INTEL_VT_RP, pagingRegisters, translate } from '@heki/x86';
import type { EptControls } from '../controls.ts';
import { createEptEditor, type EptLeafOptions, eptLeaf } from '../editor.ts';
import { EPT_RIGHTS } from '../entry.ts';
import { createEpt, type Ept } from '../ept.ts';
import { encodeEptp } from '../eptp.ts';
import { describeQualification } from '../qualification.ts';

/** Guest frames of the guest's four tables, root first; EPT maps every frame below 0x100 to itself. */
export const GUEST_TABLES = [0x10, 0x11, 0x12, 0x13] as const;
/** The guest frame of the page. */
export const GUEST_PAGE = 0x20 as Gfn;
const LINEAR: VirtualAddress = virtualAddress(0x7000_0000_0018n);

/** A guest with one mapped page, under EPT. */
export interface Guest {
  readonly memory: PhysicalMemory<Pfn>;
  readonly editor: SecondLevelEditor;
  readonly ept: Ept;
  /** Makes an access through guest paging and EPT: `allowed`, `#PF`, or the qualification of the violation. */
  access(access: Access): string;
  /** The low bits of the guest's PTE. */
  guestPte(): number;
}

export function createGuest(options: {
  readonly accessedDirty: boolean;
  readonly controls?: EptControls | undefined;
  /** The leaf over the guest's last-level table. */
  readonly pageTable?: EptLeafOptions;
  /** The leaf over the page itself. */
  readonly page?: EptLeafOptions;
  /** A and D of the guest's PTE. */
  readonly guestFlags?: number;
  /** Low bits of all guest entries beside A and D; P, R/W and U/S when left out. */
  readonly guestRights?: number;
}): Guest {
  const all = { rights: EPT_RIGHTS };
  const ranges = [{ start: pfn(0), end: pfn(0x200) }];
  const memory = createRam<Pfn>({ ranges });
  const frames = createFrameAllocator<Pfn>({ ranges: [{ start: pfn(0x100), end: pfn(0x200) }] });
  const editor = createEptEditor({ memory, frames });
  const leaf = (first: number, last: number, bits: EptLeafOptions): void => {
    editor.map(first as Gfn, last as Gfn, first as Pfn, eptLeaf(bits));
  };
  leaf(0, 0x100, all);
  leaf(GUEST_TABLES[3], GUEST_TABLES[3] + 1, options.pageTable ?? all);
  leaf(GUEST_PAGE, GUEST_PAGE + 1, options.page ?? all);

  const rights = options.guestRights ?? 7;
  const index = (level: number): number => Number((LINEAR >> BigInt(12 + 9 * (level - 1))) & 511n);
  GUEST_TABLES.forEach((frame, depth) => {
    const next = GUEST_TABLES[depth + 1];
    const low =
      next === undefined
        ? GUEST_PAGE * 4096 + (rights | (options.guestFlags ?? 0x60))
        : next * 4096 + (rights | 0x20);
    writeU64<Pfn>(memory, (frame * 4096 + index(4 - depth) * 8) as Hpa, { low, high: 0 });
  });

  const ept = createEpt({
    memory,
    eptp: encodeEptp({
      accessedDirty: options.accessedDirty,
      root: editor.root,
    }),
    controls: options.controls,
  });
  const registers = pagingRegisters({ cr3: BigInt(GUEST_TABLES[0]) << 12n });
  return {
    memory,
    editor,
    ept,
    access(access) {
      const { outcome, updates } = translate(registers, memory, LINEAR, access, INTEL_VT_RP, ept);
      applyUpdates(memory, updates);
      if (outcome.kind === 'mapped') return 'allowed';
      if (outcome.kind !== 'second-level') return outcome.kind;
      const { fault } = outcome;
      return fault.kind === 'ept-violation' ? describeQualification(fault.qualification) : fault.kind;
    },
    guestPte: () => (memory.page(pfn(GUEST_TABLES[3]))?.[index(1) * 2] ?? 0) & 0xfff,
  };
}
