import {
  createHekiGuest,
  type GuestDefectId,
  type HekiGuest,
  type HekiKernel,
  type LateInitResult,
} from '@heki/guest';
import { decodePageList, forEachRange, MEM_ATTR_IMMUTABLE } from '@heki/hypercall/kvm';
import {
  addressOf,
  type Gfn,
  type Gpa,
  PAGE_WORDS,
  type PhysicalMemory,
  type VirtualAddress,
  type VirtualFrame,
  virtualFrameOf,
  writeBytes,
} from '@heki/physical-memory';
import type { DefectChoices } from '@heki/series';

/** MEM_ATTR bits. */
export const READ = 1;
export const WRITE = 2;
export const EXEC = 4;

/** Frames of RAM, all of them mapped by the direct map but for {@link SECRET}. */
const MEMORY = { start: 0 as Gfn, end: 0x40 as Gfn };
/** Text of the image: r-x there, r-- in the direct map. */
export const TEXT = 1;
/** Code that was made while the kernel booted, in allocated memory. */
export const GENERATED = 2;
/** Memory that nothing but the direct map knows. */
export const FREE = 3;
/** Code whose page was taken out of the direct map. */
const SECRET = 4;
/** Executable in the direct map alone, as the trampoline of other processors. */
const TRAMPOLINE = 5;
/** Memory above 512 GiB, out of the direct map: as far above {@link FREE} as counters of a kernel without five levels reach (B-G8). */
export const FAR = 2 ** 27 + FREE;
/** All that a search is about. The first is what entries that the processor does not follow lead to. */
export const FRAMES: readonly number[] = [0, TEXT, GENERATED, FREE, SECRET, TRAMPOLINE, FAR];

const ROOT = 0x20;
const TABLE_FRAMES = [ROOT, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29];
/** The last tables of the direct map, of allocated memory and of the image. */
const LAST_TABLES = [0x23, 0x26, 0x29];
const LIST_PAGES = [0x30, 0x31, 0x32, 0x33];

/** A place of a mapping: the page table with its entry, and its address. */
export interface Slot {
  readonly name: string;
  readonly table: number;
  readonly index: number;
  readonly frame: VirtualFrame;
  readonly inDirectMap: boolean;
}

const DIRECT_MAP = virtualFrameOf(0xffff_8880_0000_0000n as VirtualAddress);
const VMALLOC = virtualFrameOf(0xffff_c900_0000_0000n as VirtualAddress);
const IMAGE = virtualFrameOf(0xffff_ffff_8100_0000n as VirtualAddress);

const slot = (name: string, table: number, base: VirtualFrame, index: number): Slot => ({
  name,
  table,
  index,
  frame: (base + index) as VirtualFrame,
  inDirectMap: base === DIRECT_MAP,
});

export const SLOTS = {
  image: slot('the text of the image', 0x29, IMAGE, 0),
  code: slot('the generated code', 0x26, VMALLOC, 0),
  secret: slot('the code without a direct mapping', 0x26, VMALLOC, 1),
  area: slot('an area', 0x26, VMALLOC, 2),
  /** An entry with PROT_NONE, its frame inverted. */
  none: slot('a page without access', 0x26, VMALLOC, 3),
  spare: slot('an area that may be reclaimed', 0x26, VMALLOC, 4),
  far: slot('an area above 512 GiB', 0x26, VMALLOC, 5),
  direct: slot('the free page in the direct map', 0x23, DIRECT_MAP, FREE),
} as const;

/** What goes wrong while an action is done. */
export type Trouble = 'nothing' | 'no-list-page' | 'refusal';

const NO_ENTRIES = new Uint32Array(PAGE_WORDS);

/** Every frame that there is. */
const HELD: readonly number[] = [...Array.from({ length: MEMORY.end }, (_, frame) => frame), FAR];

function frameIn(low: number, high: number): number {
  return (high & 0xf_ffff) * 2 ** 20 + (low >>> 12);
}

/** MEM_ATTR bits of an entry that is present. */
function permissionsOf(low: number, high: number): number {
  return READ | ((low & 2) === 0 ? 0 : WRITE) | (high >>> 31 === 0 ? EXEC : 0);
}

/** A kernel with a Heki core, in page tables of real bytes, and a hypervisor that keeps what it is told. */
export class TinyKernel {
  readonly heki: HekiGuest;
  /** MEM_ATTR bits that the hypervisor was told, by frame. */
  readonly told = new Map<number, number>();
  trouble: Trouble = 'nothing';
  /** The hypervisor refused something, or there was no page for a list. */
  failed = false;
  /** What late init came to, once it was done. */
  late: LateInitResult | undefined;
  saidProtected = false;
  /** The core waits for itself. */
  deadlocked = false;
  /** Page tables and pages for lists: what other frames hold decides nothing. */
  readonly #pages: ReadonlyMap<number, Uint32Array> = new Map(
    [...TABLE_FRAMES, ...LIST_PAGES].map((frame) => [frame, new Uint32Array(PAGE_WORDS)]),
  );
  readonly #ram: PhysicalMemory<Gfn> = {
    page: (frame) => this.#pages.get(frame),
    writablePage: (frame) => this.#pages.get(frame),
  };
  #freePages: number[] = [...LIST_PAGES];
  #entered = false;

  constructor(defects: DefectChoices<GuestDefectId>) {
    this.#buildTables();
    const kernel: HekiKernel = {
      memory: this.#ram,
      pageTableRoot: ROOT as Gfn,
      levels: 4,
      validFrames: [MEMORY, { start: FAR as Gfn, end: (FAR + 1) as Gfn }],
      directMap: { start: DIRECT_MAP, end: (DIRECT_MAP + MEMORY.end) as VirtualFrame },
      finalFrames: [{ start: TEXT as Gfn, end: (TEXT + 1) as Gfn }],
      allocatePage: (reclaim) => {
        if (reclaim && !this.#entered) this.#reclaim();
        const frame = this.trouble === 'no-list-page' ? undefined : this.#freePages.pop();
        if (frame === undefined) this.failed = true;
        return frame === undefined
          ? undefined
          : {
              frame: frame as Gfn,
              address: ((BigInt(DIRECT_MAP + frame) << 12n) - 2n ** 64n) as VirtualAddress,
            };
      },
      freePage: ({ frame }) => this.#freePages.push(frame),
      store: ({ frame }, offset, bytes) =>
        writeBytes<Gfn>(this.#ram, (addressOf(frame) + offset) as Gpa, bytes) === bytes.length,
    };
    this.heki = createHekiGuest({
      kernel,
      defects,
      config: { X86_5LEVEL: false },
      hypervisor: { lockCrs: () => 0, protectMemory: (list) => this.#protect(list) },
      onEvent: (event) => {
        if (event.type === 'log' && event.text.includes('Guest memory protected')) this.saidProtected = true;
        if (event.type === 'self-deadlock') this.deadlocked = true;
      },
    });
    this.heki.earlyInit();
  }

  /** Pages for lists that are in use. */
  get leaked(): number {
    return LIST_PAGES.length - this.#freePages.length;
  }

  /** MEM_ATTR bits of what a slot maps, and the frame; `undefined` when it maps nothing. */
  at({
    table,
    index,
  }: Pick<Slot, 'table' | 'index'>): { readonly frame: number; readonly permissions: number } | undefined {
    const [low = 0, high = 0] = this.#entry(table, index);
    if ((low & 1) === 0) return undefined;
    return { frame: frameIn(low, high), permissions: permissionsOf(low, high) };
  }

  set({ table, index }: Slot, frame: number | undefined, permissions: number): void {
    const entry = this.#entry(table, index);
    if (frame === undefined) {
      entry.set([0, 0]);
      return;
    }
    const low = (frame % 2 ** 20) * 4096 + 0x121 + ((permissions & WRITE) === 0 ? 0 : 2);
    entry.set([low, Math.floor(frame / 2 ** 20) + ((permissions & EXEC) !== 0 ? 0 : 0x8000_0000)]);
  }

  /** Permissions of all mappings of a frame, one each. `direct`: those of the direct map count. */
  mappings(frame: number, direct: boolean): number[] {
    const found: number[] = [];
    for (const table of direct ? LAST_TABLES : LAST_TABLES.slice(1)) {
      const entries = this.#pages.get(table) ?? NO_ENTRIES;
      for (let word = 0; word < 2 * MEMORY.end; word += 2) {
        const low = entries[word] ?? 0;
        const high = entries[word + 1] ?? 0;
        if (low % 2 !== 0 && frameIn(low, high) === frame) found.push(permissionsOf(low, high));
      }
    }
    return found;
  }

  /** All entries, as text. */
  tables(): string {
    return LAST_TABLES.map((table) =>
      this.#pages
        .get(table)
        ?.subarray(0, 2 * MEMORY.end)
        .join(),
    ).join(';');
  }

  #entry(table: number, index: number): Uint32Array {
    return (this.#pages.get(table) ?? NO_ENTRIES).subarray(2 * index, 2 * index + 2);
  }

  /** The hypervisor: all of a list or nothing, and nothing immutable. */
  #protect(list: Gpa): number {
    const memory = { page: (frame: Gfn) => this.#ram.page(frame), writablePage: () => undefined };
    const decoded = decodePageList({ memory, list: BigInt(list) });
    const ranges: [start: number, end: number, permissions: number][] = [];
    if (decoded.ok) forEachRange(decoded.pages, (start, end, bits) => ranges.push([start, end, bits]));
    const isFixed = ranges.some(([start, end]) =>
      [...this.told].some(
        ([frame, bits]) => (bits & MEM_ATTR_IMMUTABLE) !== 0 && frame >= start && frame < end,
      ),
    );
    if (!decoded.ok || isFixed || this.trouble === 'refusal') {
      this.failed = true;
      return -1;
    }
    for (const [start, end, bits] of ranges)
      for (const frame of HELD) if (start <= frame && frame < end) this.told.set(frame, bits);
    return 0;
  }

  /** The allocator is short of memory and takes an area back: from within the core, under B-G13. */
  #reclaim(): void {
    if (this.at(SLOTS.spare) === undefined) return;
    this.#entered = true;
    const { frame } = SLOTS.spare;
    const change = this.heki.beginChange();
    if (change.unmap(frame, (frame + 1) as VirtualFrame) === 0) this.set(SLOTS.spare, undefined, 0);
    change.inForce();
    this.#entered = false;
  }

  #buildTables(): void {
    const table = (from: number, index: number, to: number): void =>
      this.#entry(from, index).set([to * 4096 + 0x63, 0]);
    table(ROOT, 273, 0x21);
    table(0x21, 0, 0x22);
    table(0x22, 0, 0x23);
    table(ROOT, 402, 0x24);
    table(0x24, 0, 0x25);
    table(0x25, 0, 0x26);
    table(ROOT, 511, 0x27);
    table(0x27, 510, 0x28);
    table(0x28, 8, 0x29);
    for (let frame = 0; frame < MEMORY.end; frame++) {
      if (frame === SECRET) continue;
      const permissions =
        frame === TEXT || frame === GENERATED ? READ : frame === TRAMPOLINE ? READ | EXEC : READ | WRITE;
      this.set({ ...SLOTS.direct, index: frame }, frame, permissions);
    }
    this.set(SLOTS.image, TEXT, READ | EXEC);
    this.set(SLOTS.code, GENERATED, READ | EXEC);
    this.set(SLOTS.secret, SECRET, READ | EXEC);
    this.set(SLOTS.spare, FREE + 4, READ | WRITE);
    this.#entry(SLOTS.none.table, SLOTS.none.index).set([0xffff_f100, 0x000f_ffff]);
  }
}
