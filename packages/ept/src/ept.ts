import { type Gfn, type Gpa, PAGE_SIZE, type Pfn, type PhysicalMemory } from '@heki/physical-memory';
import {
  type CpuProfile,
  type EptFeatures,
  INTEL_VT_RP,
  REFUSED,
  type SecondLevel,
  SecondLevelAccess,
  SecondLevelRights,
} from '@heki/x86';
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
 * @param options.profile `INTEL_VT_RP` when left out
 * @throws {EptError} when the EPTP would fail the checks of VM entry, or the processor lacks EPT or a control
 */
export function createEpt(options: {
  readonly memory: PhysicalMemory<Pfn>;
  readonly eptp: bigint;
  readonly profile?: CpuProfile;
  readonly controls?: EptControls;
}): Ept {
  const { memory, eptp, profile = INTEL_VT_RP, controls = {} } = options;
  checkControls(profile, controls);
  const decoded = decodeEptp(eptp, profile);
  if (decoded.fault !== undefined) {
    throw new EptError(`EPTP 0x${eptp.toString(16)} fails VM entry: ${decoded.fault}`);
  }
  return new FastEpt(memory, decoded.eptp, profile, controls);
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
const TABLE_RESERVED = 0x78;
/** Bits n set for memory types n that are reserved: 2, 3 and 7. */
const RESERVED_TYPES = 0b1000_1100;

/** {@link explainEptWalk} for hot paths: no allocation while accesses are allowed, entries as 32-bit halves. */
class FastEpt implements Ept {
  eptp: Eptp;
  fault: EptFault | undefined;
  level = 0;
  readonly #memory: PhysicalMemory<Pfn>;
  readonly #profile: CpuProfile;
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
  /** Of the latest allowed translation: the AND of R, W, X and XU. */
  #rights = 0;
  /** Of the latest allowed translation: its leaf has paging-write access. */
  #paging = false;
  /** Of the latest allowed translation: writes need set no dirty flag. */
  #dirty = true;
  #root = 0;
  #levels = 4;
  #end = 0;
  #accessedDirty = false;

  constructor(memory: PhysicalMemory<Pfn>, eptp: Eptp, profile: CpuProfile, controls: EptControls) {
    const features = eptFeatures(profile);
    this.#memory = memory;
    this.#profile = profile;
    this.#features = features;
    this.#controls = controls;
    this.#userExecute = controls.modeBasedExecute === true ? XU : 0;
    this.#present = R | W | X | this.#userExecute;
    this.#needRead = W | (features.executeOnly ? 0 : X | this.#userExecute);
    this.#reservedHigh = 0xf_ffff & ~(2 ** (profile.maxPhysicalAddressBits - 32) - 1);
    this.#largeLevels = (features.twoMegabytePages ? 1 << 2 : 0) | (features.gigabytePages ? 1 << 3 : 0);
    this.#pagingWrite = controls.pagingWrite === true;
    this.#verification = controls.guestPagingVerification === true;
    this.eptp = eptp;
    this.#use(eptp);
  }

  load(value: bigint): EptpFault | undefined {
    const decoded = decodeEptp(value, this.#profile);
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
    this.#dirty = true;
  }

  get rights(): number {
    const grants = SecondLevelRights;
    const rights = this.#rights;
    const readable = (rights & R) !== 0;
    const writable = (rights & W) !== 0;
    const usable = readable && (writable || this.#paging) && this.#dirty;
    const fetch = (rights & X) !== 0;
    const userFetch = this.#userExecute === 0 ? fetch : (rights & XU) !== 0;
    return (
      (readable ? grants.READ : 0) |
      (writable && this.#dirty ? grants.WRITE : 0) |
      (fetch ? grants.FETCH_SUPERVISOR : 0) |
      (userFetch ? grants.FETCH_SUPERVISOR_FROM_USER_PAGE | grants.FETCH_USER : 0) |
      (readable && (usable || !this.#accessedDirty) ? grants.READ_PAGING_STRUCTURE : 0) |
      (usable ? grants.WRITE_PAGING_STRUCTURE : 0)
    );
  }

  explain(gfn: Gfn, offset: number, access: number): EptWalk {
    return explainEptWalk({
      memory: this.#memory,
      eptp: this.eptp,
      profile: this.#profile,
      controls: this.#controls,
      gfn,
      offset,
      access,
      verified: (access & WALK_START) !== 0 || this.#verified,
    });
  }

  translate(gfn: Gfn, offset: number, access: number): Pfn | typeof REFUSED {
    if ((access & WALK_START) !== 0) this.#verified = true;
    if (gfn >= this.#end) return this.#violation(gfn, offset, access, 0, 0, false, 0);
    const upper = Math.floor(gfn / LOWER);
    const lower = gfn - upper * LOWER;
    let table = this.#root;
    let rights = EPT_RIGHTS;
    let accessed: number = A;
    let level = this.#levels;
    let above = rights;
    let low = 0;
    let high = 0;
    for (; ; level--) {
      const page = this.#memory.page(table as Pfn);
      if (page === undefined) return this.#absent(gfn, offset, table);
      const word = entryWord(upper, lower, level);
      low = page[word] ?? 0;
      high = page[word + 1] ?? 0;
      if ((low & this.#present) === 0) return this.#violation(gfn, offset, access, 0, high, false, 0);
      if (((low & R) === 0 && (low & this.#needRead) !== 0) || (high & this.#reservedHigh) !== 0) {
        return this.#misconfiguration(gfn, offset);
      }
      above = rights;
      rights &= low;
      accessed &= low;
      if (level === 1 || ((low & LARGE) !== 0 && ((this.#largeLevels >> level) & 1) !== 0)) break;
      if ((low & (TABLE_RESERVED | LARGE)) !== 0) return this.#misconfiguration(gfn, offset);
      table = (low >>> 12) + (high & 0xf_ffff) * 0x10_0000;
    }
    const inPage = level === 1 ? 0 : level === 2 ? 0x1ff : 0x3_ffff;
    if (
      ((RESERVED_TYPES >> ((low >>> 3) & 7)) & 1) !== 0 ||
      ((low >>> 12) & inPage) !== 0 ||
      (this.#pagingWrite && (high & PWA) !== 0 && (low & R) === 0)
    ) {
      return this.#misconfiguration(gfn, offset);
    }

    const structure = (access & PAGING_STRUCTURE) !== 0;
    const asWrite =
      (access & WRITE) !== 0 || (structure && this.#accessedDirty && (access & LINEAR_VALID) !== 0);
    const pagingWrite = this.#pagingWrite && (high & PWA) !== 0;
    let need = 0;
    if ((access & FETCH) !== 0) {
      need = (access & USER_PAGE) !== 0 && this.#userExecute !== 0 ? XU : X;
    } else if (structure) {
      need = asWrite && !pagingWrite ? R | W : R;
    } else {
      need = ((access & READ) !== 0 ? R : 0) | (asWrite ? W : 0);
    }
    let denied = (rights & need) !== need;
    if ((access & (SHADOW_STACK | USER_ACCESS)) === SHADOW_STACK && this.eptp.supervisorShadowStack) {
      denied = (rights & R) === 0 || (above & W) === 0 || (high & SSS) === 0;
    }
    if (denied) return this.#violation(gfn, offset, access, rights, high, true, 0);
    if (structure) {
      if (!pagingWrite) this.#verified = false;
    } else if (this.#verification && !this.#verified && (high & VGP) !== 0) {
      const cause = EptQualification.VERIFICATION;
      return this.#violation(gfn, offset, access, rights, high, true, cause);
    }
    if (this.#accessedDirty) {
      const flags = asWrite ? A | D : A;
      if (accessed === 0 || (low & flags) !== flags) this.#setFlags(upper, lower, level, flags);
      this.#dirty = asWrite || (low & D) !== 0;
    }
    this.level = level;
    this.#rights = rights;
    this.#paging = pagingWrite;
    const frame = (low >>> 12) + (high & 0xf_ffff) * 0x10_0000;
    return (frame + (lower & inPage)) as Pfn;
  }

  /** Walks once more, after an allowed access, to set the flags of every entry down to the leaf at `leafLevel`. */
  #setFlags(upper: number, lower: number, leafLevel: number, leafFlags: number): void {
    let table = this.#root;
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
