import { type Gfn, type Gpa, PAGE_SIZE, type Pfn, type PhysicalMemory } from '@heki/physical-memory';
import { REFUSED, type SecondLevel, SecondLevelAccess, SecondLevelRights } from '@heki/second-level';
import { EntryHigh, EntryLow, type Level, reservedBits } from '@heki/x86';
import { NpfInfo1 } from './exit-info.ts';
import { explainNptWalk, type NptWalk } from './explain.ts';
import type { NptFault } from './fault.ts';
import { type NptSetup, resolveSetup } from './setup.ts';

/** Nested paging as one logical processor uses it: the `SecondLevel` port over tables in host memory. */
export interface Npt extends SecondLevel<NptFault> {
  /** The frame of the root table, nCR3 >> 12. */
  readonly root: Pfn;
  /**
   * The same translation as {@link translate} step by step, with the reason of its outcome. Changes nothing: the flag
   * updates that it would make are listed.
   */
  explain(gfn: Gfn, offset: number, access: number): NptWalk;
}

/**
 * Nested paging over the tables in host `memory`.
 *
 * @throws {NptError} when the processor has no nested paging, or not what a control asks for
 */
export function createNpt(options: NptSetup & { readonly memory: PhysicalMemory<Pfn> }): Npt {
  return new FastNpt(options.memory, resolveSetup(options));
}

const { WRITE, FETCH, PAGING_STRUCTURE, USER_ACCESS } = SecondLevelAccess;
const { P, RW, US, A, D, PS } = EntryLow;
const { XD } = EntryHigh;
/** Frames below 2^27 have their three lower table indices in what JavaScript's bit operators can hold. */
const LOWER = 2 ** 27;

/** {@link explainNptWalk} for hot paths: no allocation while accesses are allowed, entries as 32-bit halves. */
class FastNpt implements Npt {
  fault: NptFault | undefined;
  level = 0;
  readonly root: Pfn;
  readonly #memory: PhysicalMemory<Pfn>;
  readonly #setup: Required<NptSetup>;
  readonly #levels: number;
  readonly #end: number;
  readonly #gmet: boolean;
  readonly #readOnlyTables: boolean;
  /** Reserved bits of both halves, at 4 * level without bit 7 and 4 * level + 2 with it. */
  readonly #reserved = new Uint32Array(24);
  /** Of the latest allowed translation: AND of the low halves, OR of the high ones, and the leaf's low half. */
  #and = 0;
  #or = 0;
  #leaf = 0;

  constructor(memory: PhysicalMemory<Pfn>, setup: Required<NptSetup>) {
    this.#memory = memory;
    this.#setup = setup;
    this.root = setup.root;
    this.#levels = setup.levels;
    this.#end = 512 ** setup.levels;
    this.#gmet = setup.controls.gmet === true;
    this.#readOnlyTables = setup.controls.readOnlyGuestPageTables === true;
    const rules = { ...setup.processor, nxe: setup.hostNxe };
    for (const level of [1, 2, 3, 4, 5] as const) {
      for (const large of [false, true]) {
        const mask = reservedBits(level, large, rules);
        this.#reserved[4 * level + (large ? 2 : 0)] = Number(mask & 0xffff_ffffn);
        this.#reserved[4 * level + (large ? 3 : 1)] = Number(mask >> 32n);
      }
    }
  }

  get rights(): number {
    const R = SecondLevelRights;
    const user = (this.#and & US) !== 0;
    const data = this.#gmet || user;
    const writable = data && (this.#and & RW) !== 0;
    const execute = (this.#or & XD) === 0;
    const dirty = (this.#leaf & D) !== 0;
    const structure = data && (writable || this.#readOnlyTables) && dirty;
    const fetch = R.FETCH_SUPERVISOR | R.FETCH_SUPERVISOR_FROM_USER_PAGE;
    return (
      (data ? R.READ : 0) |
      (writable && dirty ? R.WRITE : 0) |
      (execute && (this.#gmet ? !user : user) ? fetch : 0) |
      (execute && data ? R.FETCH_USER : 0) |
      (structure ? R.READ_PAGING_STRUCTURE | R.WRITE_PAGING_STRUCTURE : 0)
    );
  }

  explain(gfn: Gfn, offset: number, access: number): NptWalk {
    return explainNptWalk({ ...this.#setup, memory: this.#memory, gfn, offset, access });
  }

  translate(gfn: Gfn, offset: number, access: number): Pfn | typeof REFUSED {
    const structure = (access & PAGING_STRUCTURE) !== 0;
    const write = structure || (access & WRITE) !== 0;
    const fetch = !structure && (access & FETCH) !== 0;
    if (gfn >= this.#end) return this.#refuse(gfn, offset, access, 0n);
    const upper = Math.floor(gfn / LOWER);
    const lower = gfn - upper * LOWER;
    let table: number = this.root;
    let level = this.#levels;
    let and = -1;
    let or = 0;
    let low = 0;
    let high = 0;
    for (; ; level--) {
      const page = this.#memory.page(table as Pfn);
      if (page === undefined) {
        this.fault = { kind: 'absent-table', gpa: (gfn * PAGE_SIZE + offset) as Gpa, table: table as Pfn };
        return REFUSED;
      }
      const word = entryWord(upper, lower, level);
      low = page[word] ?? 0;
      high = page[word + 1] ?? 0;
      if ((low & P) === 0) return this.#refuse(gfn, offset, access, 0n);
      const rule = 4 * level + ((low & PS) === 0 ? 0 : 2);
      if ((low & (this.#reserved[rule] ?? 0)) !== 0 || (high & (this.#reserved[rule + 1] ?? 0)) !== 0) {
        return this.#refuse(gfn, offset, access, NpfInfo1.P | NpfInfo1.RSVD);
      }
      and &= low;
      or |= high;
      if (level === 1 || (level <= 3 && (low & PS) !== 0)) break;
      table = (low >>> 12) + (high & 0xf_ffff) * 0x10_0000;
    }
    if (
      (this.#gmet ? fetch && (access & USER_ACCESS) === 0 && (and & US) !== 0 : (and & US) === 0) ||
      (write && (and & RW) === 0 && !(structure && this.#readOnlyTables)) ||
      (fetch && (or & XD) !== 0)
    ) {
      return this.#refuse(gfn, offset, access, NpfInfo1.P);
    }
    const flags = write ? A | D : A;
    if ((and & A) === 0 || (low & flags) !== flags) {
      low |= flags;
      this.#setFlags(upper, lower, level as Level, flags);
    }
    this.level = level;
    this.#and = and;
    this.#or = or;
    this.#leaf = low;
    const inPage = level === 1 ? 0 : level === 2 ? 0x1ff : 0x3_ffff;
    return (((low >>> 12) & ~inPage) + (high & 0xf_ffff) * 0x10_0000 + (lower & inPage)) as Pfn;
  }

  /** Walks once more, after an allowed access, to set the flags of every entry down to the leaf at `leafLevel`. */
  #setFlags(upper: number, lower: number, leafLevel: Level, leafFlags: number): void {
    let table: number = this.root;
    for (let level = this.#levels; level >= leafLevel; level--) {
      const page = this.#memory.page(table as Pfn);
      const word = entryWord(upper, lower, level);
      const low = page?.[word] ?? 0;
      const high = page?.[word + 1] ?? 0;
      const flags = level === leafLevel ? leafFlags : A;
      if ((low & flags) !== flags) {
        const target = this.#memory.writablePage(table as Pfn);
        if (target !== undefined) target[word] = low | flags;
      }
      table = (low >>> 12) + (high & 0xf_ffff) * 0x10_0000;
    }
  }

  #refuse(gfn: Gfn, offset: number, access: number, code: bigint): typeof REFUSED {
    const structure = (access & PAGING_STRUCTURE) !== 0;
    const fetch = !structure && (access & FETCH) !== 0;
    let info1 = code | (structure ? NpfInfo1.PAGE_TABLE : NpfInfo1.FINAL_ADDRESS);
    if (structure || (access & WRITE) !== 0) info1 |= NpfInfo1.W;
    if (!(this.#gmet && fetch) || (access & USER_ACCESS) !== 0) info1 |= NpfInfo1.U;
    const { hostNxe, hostSmep } = this.#setup;
    if (fetch && (hostNxe || hostSmep || this.#gmet)) info1 |= NpfInfo1.ID;
    this.fault = { kind: 'nested-page-fault', info1, gpa: (gfn * PAGE_SIZE + offset) as Gpa };
    return REFUSED;
  }
}

/** Twice the index of the entry of `level`, for the frame `upper * 2^27 + lower`. */
function entryWord(upper: number, lower: number, level: number): number {
  switch (level) {
    case 1:
      return (lower & 0x1ff) << 1;
    case 2:
      return ((lower >>> 9) & 0x1ff) << 1;
    case 3:
      return (lower >>> 18) << 1;
    case 4:
      return (upper & 0x1ff) << 1;
    default:
      return (upper >>> 9) << 1;
  }
}
