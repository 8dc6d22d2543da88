import { type Gfn, type Gpa, PAGE_SIZE, type Pfn, type PhysicalMemory } from '@heki/physical-memory';
import { REFUSED, type SecondLevel, SecondLevelAccess, SecondLevelRights } from '@heki/second-level';
import { type CpuProfile, type EptFeatures, INTEL_VT_RP } from '@heki/x86';
import { checkControls, type EptControls, eptFeatures } from './controls.ts';
import { EPT_RIGHTS, EptHigh, EptLow } from './entry.ts';
import { decodeEptp, type Eptp, type EptpFault } from './eptp.ts';
import { EptError } from './error.ts';
import { type EptWalk, explainEptWalk } from './explain.ts';
import type { EptFault } from './fault.ts';
import { EptAccess, EptQualification } from './qualification.ts';

/** EPT as one logical processor uses it: the `SecondLevel` port over tables in host memory. */
export interface Ept extends SecondLevel<EptFault> {
  /** The EPTP in use. */
  readonly eptp: Eptp;
  /** Loads another EPTP (VMWRITE and VM entry, or VMFUNC): the reason when it is refused, and then nothing changes. */
  load(eptp: bigint): EptpFault | undefined;
  /**
   * The same translation as {@link translate} step by step, with the reason of its outcome. Changes nothing: the flag
   * updates that it would make are listed.
   */
  explain(gfn: Gfn, offset: number, access: number): EptWalk;
}

/**
 * EPT over the tables in host `memory` that `eptp` points to.
 *
 * @param options.processor `INTEL_VT_RP` when left out
 * @throws {EptError} when the EPTP would fail the checks of VM entry, or the processor lacks EPT or a control
 */
export function createEpt(options: {
  readonly memory: PhysicalMemory<Pfn>;
  readonly eptp: bigint;
  readonly processor?: CpuProfile;
  readonly controls?: EptControls | undefined;
}): Ept {
  const { memory, eptp, processor = INTEL_VT_RP, controls = {} } = options;
  checkControls(processor, controls);
  const decoded = decodeEptp(eptp, processor);
  if (decoded.fault !== undefined) {
    throw new EptError(`EPTP 0x${eptp.toString(16)} fails VM entry: ${decoded.fault}`);
  }
  return new FastEpt(memory, decoded.eptp, processor, controls);
}

const {
  READ,
  WRITE,
  FETCH,
  PAGING_STRUCTURE,
  WALK_START,
  LINEAR_VALID,
  USER_PAGE,
  USER_ACCESS,
  SHADOW_STACK,
} = SecondLevelAccess;
const { R, W, X, XU, LARGE, A, D } = EptLow;
const { PWA, SSS, VGP, SVE } = EptHigh;
/** Frames below 2^27 have their three lower table indices in what JavaScript's bit operators can hold. */
const LOWER = 2 ** 27;
/** Frames below this are what JavaScript engines keep as small integers. */
const SMALL = 2 ** 31;
/** R, and the bits that an entry that refers to a table must not have: 6:3 and bit 7. */
const TABLE_BITS = R | 0xf8;
/** Bits n set for memory types n that are reserved: 2, 3 and 7. */
const RESERVED_TYPES = 0b1000_1100;
/** The bits of an access that decide what it needs, but for shadow stacks: the port's lowest seven. */
const RULE_ACCESS = 2 * USER_PAGE - 1;
/** In a rule: comparing rights does not decide it. */
const SPECIAL = 1 << 16;
/** Beside the rights granted: the leaf has paging-write access. */
const GRANTED_PAGING_WRITE = 1 << 17;
/** Beside the rights granted: the leaf's page is subject to guest-paging verification. */
const GRANTED_VERIFIED_PAGE = 1 << 18;
/** The answer of the judge when nothing is denied. */
const ALLOWED = -1;

/** {@link explainEptWalk} for hot paths: no allocation while accesses are allowed, entries as 32-bit halves. */
class FastEpt implements Ept {
  eptp: Eptp;
  fault: EptFault | undefined;
  level = 0;
  readonly #memory: PhysicalMemory<Pfn>;
  readonly #processor: CpuProfile;
  readonly #features: EptFeatures;
  readonly #controls: EptControls;
  /** Low bits any of which makes an entry present. */
  readonly #present: number;
  /** The XU bit under MBEC, else 0. */
  readonly #userExecute: number;
  /** Low bits that an entry without R must not have: W always, and executes without the execute-only capability. */
  readonly #needRead: number;
  readonly #reservedHigh: number;
  /** Bit n set: an entry of level n may be a large leaf. */
  readonly #largeLevels: number;
  readonly #pagingWrite: boolean;
  readonly #verification: boolean;
  /** Every guest paging entry of the walk so far came through a leaf with paging-write access. */
  #verified = true;
  /** Of the latest translation: the AND of R, W, X, XU and A over the entries, and the leaf's D. */
  #granted = 0;
  /** By access: see {@link #makeRules}. */
  readonly #rules = new Int32Array(RULE_ACCESS + 1);
  /** By level: the frame of the table last used there, and the page at it. Writable views never go stale. */
  readonly #tableFrames = [-1, -1, -1, -1, -1, -1];
  readonly #tablePages: (Uint32Array | undefined)[] = this.#tableFrames.map(() => undefined);
  #root = 0;
  #levels = 4;
  #end = 0;
  #accessedDirty = false;

  constructor(memory: PhysicalMemory<Pfn>, eptp: Eptp, processor: CpuProfile, controls: EptControls) {
    const features = eptFeatures(processor);
    this.#memory = memory;
    this.#processor = processor;
    this.#features = features;
    this.#controls = controls;
    this.#userExecute = controls.modeBasedExecute === true ? XU : 0;
    this.#present = R | W | X | this.#userExecute;
    this.#needRead = W | (features.executeOnly ? 0 : X | this.#userExecute);
    this.#reservedHigh = 0xf_ffff & ~(2 ** (processor.maxPhysicalAddressBits - 32) - 1);
    this.#largeLevels = (features.twoMegabytePages ? 1 << 2 : 0) | (features.gigabytePages ? 1 << 3 : 0);
    this.#pagingWrite = controls.pagingWrite === true;
    this.#verification = controls.guestPagingVerification === true;
    this.eptp = eptp;
    this.#use(eptp);
  }

  load(value: bigint): EptpFault | undefined {
    const decoded = decodeEptp(value, this.#processor);
    if (decoded.fault !== undefined) return decoded.fault;
    this.#use(decoded.eptp);
    return undefined;
  }

  #use(eptp: Eptp): void {
    this.eptp = eptp;
    this.#root = eptp.root;
    this.#levels = eptp.levels;
    this.#end = 512 ** eptp.levels;
    this.#accessedDirty = eptp.accessedDirty;
    this.#makeRules();
  }

  get rights(): number {
    const grants = SecondLevelRights;
    const granted = this.#granted;
    // Whether such a page may be accessed depends on the walk before it, so no cache can say.
    if ((granted & GRANTED_VERIFIED_PAGE) !== 0) return 0;
    const dirty = !this.#accessedDirty || (granted & D) !== 0;
    const readable = (granted & R) !== 0;
    const writable = (granted & W) !== 0;
    const usable = readable && (writable || (granted & GRANTED_PAGING_WRITE) !== 0) && dirty;
    const fetch = (granted & X) !== 0;
    const userFetch = this.#userExecute === 0 ? fetch : (granted & XU) !== 0;
    return (
      (readable ? grants.READ : 0) |
      (writable && dirty ? grants.WRITE : 0) |
      (fetch ? grants.FETCH_SUPERVISOR : 0) |
      (userFetch ? grants.FETCH_SUPERVISOR_FROM_USER_PAGE | grants.FETCH_USER : 0) |
      // Guest-paging verification must see every access to a guest paging entry.
      (this.#verification ? 0 : this.#pagingStructureRights(readable, usable))
    );
  }

  #pagingStructureRights(readable: boolean, usable: boolean): number {
    return (
      (readable && (usable || !this.#accessedDirty) ? SecondLevelRights.READ_PAGING_STRUCTURE : 0) |
      (usable ? SecondLevelRights.WRITE_PAGING_STRUCTURE : 0)
    );
  }

  explain(gfn: Gfn, offset: number, access: number): EptWalk {
    return explainEptWalk({
      memory: this.#memory,
      eptp: this.eptp,
      processor: this.#processor,
      controls: this.#controls,
      gfn,
      offset,
      access,
      verified: (access & WALK_START) !== 0 || this.#verified,
    });
  }

  translate(gfn: Gfn, offset: number, access: number): Pfn | typeof REFUSED {
    if ((access & WALK_START) !== 0) this.#verified = true;
    let upper: number;
    let lower: number;
    if (gfn < SMALL) {
      // The frame of an address below 8 TiB is a small integer, and the division is a shift.
      const small: number = gfn;
      upper = small >>> 27;
      lower = small & (LOWER - 1);
    } else {
      if (gfn >= this.#end) return this.#violation(gfn, offset, access, 0, 0, false, 0);
      upper = Math.floor(gfn / LOWER);
      lower = gfn - upper * LOWER;
    }
    const memory = this.#memory;
    const frames = this.#tableFrames;
    const pages = this.#tablePages;
    let table = this.#root;
    let above = EPT_RIGHTS | A;
    let level = this.#levels;
    let low = 0;
    let high = 0;
    for (; ; level--) {
      const known = frames[level] === table;
      const page = known ? pages[level] : memory.page(table as Pfn);
      if (page === undefined) return this.#absent(gfn, offset, table);
      const index = entryIndex(upper, lower, level);
      low = page[2 * index] ?? 0;
      high = page[2 * index + 1] ?? 0;
      if ((high & this.#reservedHigh) === 0 && (low & TABLE_BITS) === R && level > 1) {
        if (!known) this.#remember(level, table);
        above &= low;
        table = frameIn(low, high);
        continue;
      }
      // Not the usual entry that refers to a table: nothing, a misconfiguration or a leaf.
      if ((low & this.#present) === 0) return this.#violation(gfn, offset, access, 0, high, false, 0);
      if (this.#isMisconfigured(low, high, level)) return this.#misconfiguration(gfn, offset);
      if (level === 1 || (low & LARGE) !== 0) break;
      above &= low;
      table = frameIn(low, high);
    }
    const granted = (above & low & (EPT_RIGHTS | A)) | (low & D);
    this.level = level;
    this.#granted = granted;
    const rule = this.#rules[access & RULE_ACCESS] ?? SPECIAL;
    if ((granted & rule) !== rule || (access & SHADOW_STACK) !== 0) {
      const denied = this.#judge(access, rule, above & low, above, high);
      if (denied !== ALLOWED) return this.#violation(gfn, offset, access, above & low, high, true, denied);
      const flags = rule & (A | D);
      if ((granted & flags) !== flags) {
        this.#granted |= flags;
        this.#setFlags(upper, lower, level, flags);
      }
    }
    return (frameIn(low, high) + (lower & inPage(level))) as Pfn;
  }

  /** A table in use: the next walk finds it without asking memory, and with no need to wait for the entry above it. */
  #remember(level: number, table: number): void {
    const page = this.#memory.writablePage(table as Pfn);
    if (page === undefined) return;
    this.#tableFrames[level] = table;
    this.#tablePages[level] = page;
  }

  /** Whether a present entry is a misconfiguration (SDM 3C 29.3.3.1). */
  #isMisconfigured(low: number, high: number, level: number): boolean {
    if ((low & R) === 0 && (low & this.#needRead) !== 0) return true;
    if ((high & this.#reservedHigh) !== 0) return true;
    if (level > 1) {
      if ((low & LARGE) === 0) return (low & TABLE_BITS & ~R) !== 0;
      if (((this.#largeLevels >> level) & 1) === 0 || ((low >>> 12) & inPage(level)) !== 0) return true;
    }
    if (((RESERVED_TYPES >> ((low >>> 3) & 7)) & 1) !== 0) return true;
    return this.#pagingWrite && (high & PWA) !== 0 && (low & R) === 0;
  }

  /**
   * For every kind of access, the rights that it needs (R, W, X, XU) and the flags that it leaves set (A, D), so that
   * one comparison decides the usual case. SPECIAL, which no entry grants, sends every access to {@link #judge}.
   */
  #makeRules(): void {
    const special = this.#pagingWrite || this.#verification;
    for (let access = 0; access <= RULE_ACCESS; access++) {
      const structure = (access & PAGING_STRUCTURE) !== 0;
      const write =
        (access & WRITE) !== 0 || (structure && this.#accessedDirty && (access & LINEAR_VALID) !== 0);
      let rule = 0;
      if ((access & FETCH) !== 0) {
        rule = (access & USER_PAGE) !== 0 && this.#userExecute !== 0 ? XU : X;
      } else {
        if ((access & READ) !== 0 || structure) rule |= R;
        if (write) rule |= W;
      }
      if (this.#accessedDirty) rule |= write ? A | D : A;
      this.#rules[access] = special ? rule | SPECIAL : rule;
    }
  }

  /**
   * What one comparison cannot decide: {@link ALLOWED}, or what the qualification of the violation says beside the
   * usual, guest-paging verification or nothing (0).
   */
  #judge(access: number, rule: number, rights: number, above: number, high: number): number {
    const structure = (access & PAGING_STRUCTURE) !== 0;
    const pagingWrite = this.#pagingWrite && (high & PWA) !== 0;
    if ((access & (SHADOW_STACK | USER_ACCESS)) === SHADOW_STACK && this.eptp.supervisorShadowStack) {
      if ((rights & R) === 0 || (above & W) === 0 || (high & SSS) === 0) return 0;
    } else {
      const need = rule & EPT_RIGHTS & (structure && pagingWrite ? ~W : -1);
      if ((rights & need) !== need) return 0;
    }
    if (pagingWrite) this.#granted |= GRANTED_PAGING_WRITE;
    const verifiedPage = this.#verification && (high & VGP) !== 0;
    if (verifiedPage) this.#granted |= GRANTED_VERIFIED_PAGE;
    if (structure) {
      if (!pagingWrite) this.#verified = false;
    } else if (verifiedPage && !this.#verified) {
      return EptQualification.VERIFICATION;
    }
    return ALLOWED;
  }

  /** Walks once more, after an allowed access, to set the flags of every entry down to the leaf at `leafLevel`. */
  #setFlags(upper: number, lower: number, leafLevel: number, leafFlags: number): void {
    let table = this.#root;
    for (let level = this.#levels; level >= leafLevel; level--) {
      const page = this.#memory.page(table as Pfn);
      const word = 2 * entryIndex(upper, lower, level);
      const low = page?.[word] ?? 0;
      const high = page?.[word + 1] ?? 0;
      const flags = level === leafLevel ? leafFlags : A;
      if ((low & flags) !== flags) {
        const target = this.#memory.writablePage(table as Pfn);
        if (target !== undefined) target[word] = low | flags;
      }
      table = frameIn(low, high);
    }
  }

  #absent(gfn: Gfn, offset: number, table: number): typeof REFUSED {
    this.fault = { kind: 'absent-table', gpa: (gfn * PAGE_SIZE + offset) as Gpa, table: table as Pfn };
    return REFUSED;
  }

  #misconfiguration(gfn: Gfn, offset: number): typeof REFUSED {
    this.fault = { kind: 'ept-misconfiguration', gpa: (gfn * PAGE_SIZE + offset) as Gpa };
    return REFUSED;
  }

  /** `rights` and `leaf` say how far the walk came: 0 and false at an entry that is not present. */
  #violation(
    gfn: Gfn,
    offset: number,
    access: number,
    rights: number,
    high: number,
    leaf: boolean,
    cause: number,
  ): typeof REFUSED {
    const Q = EptQualification;
    let qualification = cause | ((rights & 7) << 3);
    if ((rights & this.#userExecute) !== 0) qualification |= Q.USER_EXECUTABLE;
    const linear = (access & LINEAR_VALID) !== 0;
    if (linear) qualification |= Q.LINEAR_VALID;
    if ((access & PAGING_STRUCTURE) !== 0) {
      qualification |= Q.READ;
      if ((access & WRITE) !== 0 || (linear && this.#accessedDirty)) qualification |= Q.WRITE;
    } else {
      const readModifyWrite = (access & (READ | WRITE)) === (READ | WRITE);
      qualification |= access & (WRITE | FETCH);
      if (!readModifyWrite || this.#features.readModifyWriteReportsRead) qualification |= access & READ;
      if (linear) {
        qualification |= Q.FINAL_ADDRESS;
        // The port's three flags stand next to each other, in the order of bits 9 to 11.
        if (this.#features.advancedViolationInfo) qualification |= ((access / USER_PAGE) & 7) << 9;
      }
    }
    if ((access & EptAccess.NMI_UNBLOCKING) !== 0) qualification |= Q.NMI_UNBLOCKING;
    if ((access & SHADOW_STACK) !== 0) qualification |= Q.SHADOW_STACK;
    if (leaf && this.eptp.supervisorShadowStack && (high & SSS) !== 0) {
      qualification |= Q.SHADOW_STACK_PAGE;
    }
    const asynchronous = (access & EptAccess.ASYNCHRONOUS) !== 0;
    if (asynchronous) qualification |= Q.ASYNCHRONOUS;
    this.fault = {
      kind: 'ept-violation',
      qualification,
      gpa: (gfn * PAGE_SIZE + offset) as Gpa,
      convertible:
        this.#controls.virtualizationException === true &&
        !asynchronous &&
        gfn < this.#end &&
        (high & SVE) === 0,
    };
    return REFUSED;
  }
}

/** The frame in an entry, bits 51:12. Small integers, which most frames are, never become floating-point numbers here. */
function frameIn(low: number, high: number): number {
  const upper = high & 0xf_ffff;
  return upper === 0 ? low >>> 12 : (low >>> 12) + upper * 0x10_0000;
}

/** The index of the entry of `level`, for the frame `upper * 2^27 + lower`. */
function entryIndex(upper: number, lower: number, level: number): number {
  return (level > 3 ? upper >>> (9 * (level - 4)) : lower >>> (9 * (level - 1))) & 0x1ff;
}

/** The bits of a frame number that lie within a leaf of `level`. */
function inPage(level: number): number {
  return level === 1 ? 0 : level === 2 ? 0x1ff : 0x3_ffff;
}
