import type { Gfn, Pfn, PhysicalMemory, VirtualFrame } from '@heki/physical-memory';
import { REFUSED, type SecondLevel, SecondLevelAccess } from '@heki/second-level';
import { lowerHalfEnd, upperHalfStart } from '../canonical.ts';
import { addressHigh, EntryLow } from '../entries/entry.ts';
import { PageRights } from '../entries/page-rights.ts';
import { X86Error } from '../error.ts';
import { CR0, CR4, EFER, RFLAGS } from '../registers/control-registers.ts';
import type { CpuProfile } from '../registers/cpu-profile.ts';
import { cr3Root } from '../registers/register-write.ts';
import type { PagingRegisters } from '../registers/registers.ts';
import { AccessBits } from './access.ts';
import { PageFaultCode } from './page-fault.ts';
import { type PageWalker, WalkOutcome } from './page-walker.ts';
import { type ReservedMasks, reservedMasks } from './reserved-masks.ts';
import { levelsOf } from './walk-tables.ts';

const { P, RW, US, A, D, PS, G, R, PAT_LARGE } = EntryLow;
const { READ, WRITE, FETCH, USER, IMPLICIT_SUPERVISOR } = AccessBits;
const { MAPPED, PAGE_FAULT, GENERAL_PROTECTION, ABSENT_TABLE, SECOND_LEVEL } = WalkOutcome;
const { LINEAR_VALID, PAGING_STRUCTURE, WALK_START } = SecondLevelAccess;
const { USER_PAGE, WRITABLE_PAGE, EXECUTE_DISABLE_PAGE, USER_ACCESS } = SecondLevelAccess;

const READ_ENTRY = SecondLevelAccess.READ | PAGING_STRUCTURE | LINEAR_VALID;
const READ_ROOT_ENTRY = READ_ENTRY | WALK_START;
const WRITE_FLAG = SecondLevelAccess.WRITE | PAGING_STRUCTURE | LINEAR_VALID;
const ALL_RIGHTS = 0x7f;
/** The first virtual frame of the addresses whose bit 63 is 1. */
const BIT_63 = 2 ** 51;
/** Virtual frames under one PML4 entry: the 27 bits that levels 1 to 3 index by. */
const PML4E_FRAMES = 2 ** 27;
/** What {@link FastPageWalker} answers inside when an HLAT entry says restart. */
const RESTART = -1;

/**
 * The page walk for speed. Reads entries as 32-bit halves from page views, keeps everything in fields and
 * preallocated arrays, and calls nothing but the memory and the second level. `translate` is the same by the book.
 */
export class FastPageWalker implements PageWalker {
  errorCode = 0;
  frame = 0 as Pfn;
  guestFrame = 0 as Gfn;
  guestOffset = 0;
  level = 1;
  rights = 0;
  key = 0;
  refusedPagingStructure = false;

  readonly #memory: PhysicalMemory<Pfn>;
  readonly #processor: CpuProfile;
  readonly #secondLevel: SecondLevel | undefined;

  #paging = false;
  #levels = 4;
  #lowerHalfEnd = 0;
  #upperHalfStart = 0;
  #root = 0;
  #hlatRoot = 0;
  /** First virtual frame that HLAT paging translates; infinite when it is off. */
  #hlatStart = Number.POSITIVE_INFINITY;
  #writeProtect = false;
  #smep = false;
  #smap = false;
  #lass = false;
  #ac = false;
  #pke = false;
  #pks = false;
  #pkru = 0;
  #pkrs = 0;
  /** The I/D bit of the error code where fetches report it, else 0. */
  #fetchCode = 0;
  /** The bits of an entry's high half that are address bits. */
  readonly #addressBits: number;
  /** What a leaf must have for a write to set D in it: R/W, or nothing. */
  readonly #dirtyNeeds: number;
  /** Leaf bits that become rights: D, and G under CR4.PGE. */
  #leafRights: number = D;
  #reserved: ReservedMasks;

  // The entries of the walk under way, by level: where they are and their low halves.
  readonly #tableFrame = new Float64Array(6);
  readonly #tableHost = new Float64Array(6);
  readonly #word = new Int32Array(6);
  readonly #low = new Int32Array(6);
  /** A when all of them have it. */
  #accessed = 0;
  /** The low half of the leaf. */
  #leafLow = 0;

  constructor(memory: PhysicalMemory<Pfn>, processor: CpuProfile, secondLevel: SecondLevel | undefined) {
    this.#memory = memory;
    this.#processor = processor;
    this.#secondLevel = secondLevel;
    this.#addressBits = addressHigh(processor.encryptionBit);
    this.#reserved = reservedMasks(processor, false);
    this.#dirtyNeeds = (processor.cr4 & CR4.CET) === 0n ? 0 : RW;
  }

  get translationLevel(): number {
    return this.#secondLevel === undefined ? this.level : Math.min(this.level, this.#secondLevel.level);
  }

  get secondLevelRights(): number {
    return this.#secondLevel === undefined ? ALL_RIGHTS : this.#secondLevel.rights;
  }

  setRegisters(registers: PagingRegisters): void {
    const { cr0, cr3, cr4, efer, rflags, pkru, pkrs, hlat } = registers;
    this.#paging = (cr0 & CR0.PG) !== 0n;
    if (this.#paging && (efer & EFER.LMA) === 0n) {
      throw new X86Error('paging outside long mode is not modelled: expected EFER.LMA = 1 with CR0.PG = 1');
    }
    const levels = levelsOf(registers);
    this.#levels = levels;
    this.#lowerHalfEnd = lowerHalfEnd(levels);
    this.#upperHalfStart = upperHalfStart(levels);
    this.#root = cr3Root(cr3, this.#processor) / 4096;
    const hlatOn = hlat !== undefined && this.#processor.ept?.hlat === true;
    this.#hlatRoot = hlatOn ? hlat.pointer / 4096 : 0;
    this.#hlatStart = hlatOn ? 2 ** 52 - 2 ** (52 - hlat.prefixBits) : Number.POSITIVE_INFINITY;

    const nxe = (efer & EFER.NXE) !== 0n;
    this.#writeProtect = (cr0 & CR0.WP) !== 0n;
    this.#smep = (cr4 & CR4.SMEP) !== 0n;
    this.#smap = (cr4 & CR4.SMAP) !== 0n;
    this.#lass = (cr4 & CR4.LASS) !== 0n && (efer & EFER.LMA) !== 0n;
    this.#ac = (rflags & RFLAGS.AC) !== 0n;
    this.#pke = (cr4 & CR4.PKE) !== 0n;
    this.#pks = (cr4 & CR4.PKS) !== 0n;
    this.#pkru = pkru;
    this.#pkrs = pkrs;
    this.#fetchCode = this.#smep || nxe ? PageFaultCode.ID : 0;
    this.#leafRights = (cr4 & CR4.PGE) !== 0n ? D | G : D;
    this.#reserved = reservedMasks(this.#processor, nxe);
  }

  walk(virtualFrame: VirtualFrame, offset: number, access: number): WalkOutcome {
    if (!this.#paging) return this.#unpaged(virtualFrame, offset, access);
    if (virtualFrame >= this.#lowerHalfEnd && virtualFrame < this.#upperHalfStart) return GENERAL_PROTECTION;
    if (this.#lass && this.violatesLass(virtualFrame, access)) return GENERAL_PROTECTION;

    let outcome: WalkOutcome | typeof RESTART = RESTART;
    if (virtualFrame >= this.#hlatStart) {
      outcome = this.#descend(this.#hlatRoot, virtualFrame, access, R, PageFaultCode.HLAT);
    }
    if (outcome === RESTART) outcome = this.#descend(this.#root, virtualFrame, access, 0, 0);
    if (outcome !== MAPPED) return outcome as WalkOutcome;

    const errorCode = this.check(this.rights, this.key, access);
    if (errorCode !== 0) {
      this.errorCode = errorCode;
      return PAGE_FAULT;
    }
    if (!this.#setFlags((access & WRITE) !== 0)) return SECOND_LEVEL;
    return this.#final(offset, access, 0);
  }

  violatesLass(virtualFrame: VirtualFrame, access: number): boolean {
    if (!this.#lass) return false;
    const upperHalf = virtualFrame >= BIT_63;
    if ((access & (USER | IMPLICIT_SUPERVISOR)) === USER) return upperHalf;
    if (upperHalf) return false;
    if ((access & FETCH) !== 0) return true;
    return this.#smap && !(this.#ac && (access & IMPLICIT_SUPERVISOR) === 0);
  }

  check(rights: number, key: number, access: number): number {
    const write = (access & WRITE) !== 0;
    const fetch = (access & FETCH) !== 0;
    const user = (access & (USER | IMPLICIT_SUPERVISOR)) === USER;
    const userPage = (rights & US) !== 0;
    let denied = false;
    let keyCode = 0;

    if (!fetch) {
      if (userPage ? this.#pke : this.#pks) {
        const keyRights = (userPage ? this.#pkru : this.#pkrs) >>> (2 * key);
        const writeDisabled = (keyRights & 2) !== 0 && write && (this.#writeProtect || (user && userPage));
        if ((keyRights & 1) !== 0 || writeDisabled) keyCode = PageFaultCode.PK;
      }
      if (write && (rights & RW) === 0 && (user || this.#writeProtect)) denied = true;
    } else if ((rights & PageRights.EXECUTE_DISABLE) !== 0) denied = true;

    if (user) denied ||= !userPage;
    else if (userPage) {
      if (fetch) denied ||= this.#smep;
      else denied ||= this.#smap && !(this.#ac && (access & IMPLICIT_SUPERVISOR) === 0);
    }
    return denied || keyCode !== 0 ? PageFaultCode.P | keyCode | this.#accessCode(access) : 0;
  }

  /** The error code bits that tell what the access was. */
  #accessCode(access: number): number {
    return (
      ((access & WRITE) !== 0 ? PageFaultCode.W : 0) |
      ((access & (USER | IMPLICIT_SUPERVISOR)) === USER ? PageFaultCode.U : 0) |
      ((access & FETCH) !== 0 ? this.#fetchCode : 0)
    );
  }

  /**
   * From a root down to the leaf: sets the guest frame, level, rights and key, or what the failure needs.
   *
   * @param restart the bit that makes an entry say restart, or 0
   * @param faultCode what a not-present entry or a reserved bit adds to the error code
   */
  #descend(
    root: number,
    virtualFrame: number,
    access: number,
    restart: number,
    faultCode: number,
  ): WalkOutcome | typeof RESTART {
    const secondLevel = this.#secondLevel;
    const memory = this.#memory;
    const addressBits = this.#addressBits;
    const reserved = this.#reserved;
    const top = this.#levels;
    // The bits that levels 4 and 5 index by, and those of levels 1 to 3, each few enough for a small integer.
    const upper = (virtualFrame / PML4E_FRAMES) | 0;
    const lower = (virtualFrame - upper * PML4E_FRAMES) | 0;
    let table = root;
    // The AND of the low halves so far, and the OR of the high ones.
    let common = -1;
    let any = 0;

    for (let level = top; ; level--) {
      const index = (level > 3 ? upper >>> (9 * (level - 4)) : lower >>> (9 * (level - 1))) & 511;
      let host = table;
      if (secondLevel !== undefined) {
        host = secondLevel.translate(table as Gfn, index * 8, level === top ? READ_ROOT_ENTRY : READ_ENTRY);
        if (host === REFUSED) return this.#failAt(SECOND_LEVEL, table, index, level);
      }
      const page = memory.page(host as Pfn);
      if (page === undefined) {
        this.errorCode = faultCode | this.#accessCode(access);
        return this.#failAt(ABSENT_TABLE, table, index, level);
      }
      const low = page[2 * index] ?? 0;
      const high = page[2 * index + 1] ?? 0;

      if ((low & P) === 0) {
        this.errorCode = faultCode | this.#accessCode(access);
        return PAGE_FAULT;
      }
      const slot = 2 * level + ((low & PS) >>> 7);
      if (((low & (reserved.low[slot] ?? 0)) | (high & (reserved.high[slot] ?? 0))) !== 0) {
        this.errorCode = PageFaultCode.P | PageFaultCode.RSVD | faultCode | this.#accessCode(access);
        return PAGE_FAULT;
      }
      if ((low & restart) !== 0) return RESTART;

      this.#tableFrame[level] = table;
      this.#tableHost[level] = host;
      this.#word[level] = 2 * index;
      this.#low[level] = low;
      common &= low;
      any |= high;
      // Written out: with feedback of its own, this stays a small integer where memory is small.
      const frame = (low >>> 12) + (high & addressBits) * 0x10_0000;
      if (level > 1 && (low & PS) === 0) {
        table = frame;
        continue;
      }

      this.level = level;
      this.key = (high >>> 27) & 15;
      this.rights = (common & (RW | US)) | (any >>> 31) | (low & this.#leafRights);
      this.#accessed = common & A;
      this.#leafLow = low;
      // A larger leaf's frame is aligned, but for the PAT bit in bit 12.
      if (level === 1) this.guestFrame = frame as Gfn;
      else {
        const inside = lower & (level === 2 ? 511 : 2 ** 18 - 1);
        this.guestFrame = (frame - ((low & PAT_LARGE) >>> 12) + inside) as Gfn;
      }
      return MAPPED;
    }
  }

  #failAt(outcome: WalkOutcome, table: number, index: number, level: number): WalkOutcome {
    this.guestFrame = table as Gfn;
    this.guestOffset = index * 8;
    this.level = level;
    this.refusedPagingStructure = true;
    return outcome;
  }

  /**
   * Sets A in every entry used and D in the leaf of a write, where they are clear; a processor that supports CET never sets D
   * beside R/W = 0 (SDM 3A 4.8). False when the second level refuses.
   */
  #setFlags(write: boolean): boolean {
    const leaf = this.level;
    const leafFlags = write && (this.#leafLow & this.#dirtyNeeds) === this.#dirtyNeeds ? A | D : A;
    if (this.#accessed !== 0 && (this.#leafLow & leafFlags) === leafFlags) return true;

    const secondLevel = this.#secondLevel;
    if (secondLevel !== undefined) {
      // Each write is checked, root first, before any is done.
      for (let level = this.#levels; level >= leaf; level--) {
        const flags = level === leaf ? leafFlags : A;
        if ((~(this.#low[level] ?? 0) & flags) === 0) continue;
        const table = (this.#tableFrame[level] ?? 0) as Gfn;
        const word = this.#word[level] ?? 0;
        if (secondLevel.translate(table, 4 * word, WRITE_FLAG) === REFUSED) {
          this.#failAt(SECOND_LEVEL, table, word >>> 1, level);
          return false;
        }
      }
    }
    for (let level = this.#levels; level >= leaf; level--) {
      const flags = level === leaf ? leafFlags : A;
      if ((~(this.#low[level] ?? 0) & flags) === 0) continue;
      const page = this.#memory.writablePage((this.#tableHost[level] ?? 0) as Pfn);
      const word = this.#word[level] ?? 0;
      if (page !== undefined) page[word] = (page[word] ?? 0) | flags;
    }
    this.rights |= leafFlags & D;
    return true;
  }

  /** The access to the page itself; `more` of it that the second level should know. */
  #final(offset: number, access: number, more: number): WalkOutcome {
    const secondLevel = this.#secondLevel;
    if (secondLevel === undefined) {
      this.frame = this.guestFrame as number as Pfn;
      return MAPPED;
    }
    const { rights } = this;
    let asked = (access & (READ | WRITE | FETCH)) | LINEAR_VALID | more;
    if ((access & (USER | IMPLICIT_SUPERVISOR)) === USER) asked |= USER_ACCESS;
    if ((rights & US) !== 0) asked |= USER_PAGE;
    if ((rights & RW) !== 0) asked |= WRITABLE_PAGE;
    if ((rights & PageRights.EXECUTE_DISABLE) !== 0) asked |= EXECUTE_DISABLE_PAGE;
    const frame = secondLevel.translate(this.guestFrame, offset, asked);
    if (frame === REFUSED) {
      this.guestOffset = offset;
      this.refusedPagingStructure = false;
      return SECOND_LEVEL;
    }
    this.frame = frame;
    return MAPPED;
  }

  /** With CR0.PG = 0 a linear address has 32 bits and is the guest-physical address. */
  #unpaged(virtualFrame: number, offset: number, access: number): WalkOutcome {
    this.guestFrame = (virtualFrame % 2 ** 20) as Gfn;
    this.level = 1;
    this.key = 0;
    this.rights = RW | US;
    return this.#final(offset, access, WALK_START);
  }
}
