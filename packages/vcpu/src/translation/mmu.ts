import type { Pfn, PhysicalMemory, StateDigest, VirtualAddress, VirtualFrame } from '@heki/physical-memory';
import { type SecondLevel, SecondLevelRights } from '@heki/second-level';
import {
  AccessBits,
  type CpuProfile,
  CR0,
  CR3,
  CR4,
  createPageWalker,
  PageRights,
  type PageWalker,
  type TlbFlush,
  WalkOutcome,
} from '@heki/x86';
import type { Controls } from '../controls.ts';
import type { FlushCause } from '../event.ts';
import { Vector } from '../exceptions/exception.ts';
import type { SecondLevelFault } from '../exit.ts';
import type { Trap } from '../instructions/attempt.ts';
import type { RegisterFile } from '../registers/register-file.ts';
import type { InvvpidScope } from '../vcpu.ts';
import { CachedSecondLevel } from './cached-second-level.ts';
import { TranslationTags } from './tags.ts';
import { framesOf, type PageSize, TranslationCache } from './translation-cache.ts';

/**
 * Rights word of a cached linear address: `PageRights` as the walk gathered them in bits 0 to 8, what the second level
 * would allow in bits 9 to 12, the protection key in bits 19:16, and whether the entry is a piece of a larger guest page.
 * Never a verdict: CPL, RFLAGS.AC, PKRU, CR0.WP and the like are looked at on every hit (SDM 3A 4.10.2.2).
 */
const PAGE_RIGHTS_MASK = 0x1ff;
const READ = 1 << 9;
const WRITE = 1 << 10;
const FETCH_SUPERVISOR = 1 << 11;
const FETCH_USER = 1 << 12;
const KEY_SHIFT = 16;
const PIECE_OF_2M = 1 << 20;
const PIECE_OF_1G = 1 << 21;

/** What an access, an OR of `AccessBits`, needs of the rights word beside the permission checks of the first stage. */
const NEEDS: Int32Array = Int32Array.from({ length: 32 }, (_, bits) => {
  let need = 0;
  if ((bits & AccessBits.READ) !== 0) need |= READ;
  // A clean page must be walked again, for the walk to set D (SDM 3A 4.8).
  if ((bits & AccessBits.WRITE) !== 0) need |= WRITE | PageRights.DIRTY;
  if ((bits & AccessBits.FETCH) !== 0) {
    need |= (bits & AccessBits.USER) !== 0 ? FETCH_USER : FETCH_SUPERVISOR;
  }
  return need;
});

/** Needs that no rights word meets: not looked up yet, and the checks of the first stage refuse. */
const UNJUDGED = 1 << 30;
const DENIED = 1 << 29;

/** Tells that cached translations were dropped; `frame` when it was one page. */
export type FlushListener = (cause: FlushCause, frame?: VirtualFrame) => void;

/** What an {@link Mmu} is made from. */
interface MmuOptions {
  readonly memory: PhysicalMemory<Pfn>;
  readonly processor: CpuProfile;
  readonly registers: RegisterFile;
  readonly controls: Controls;
  readonly trap: Trap;
  readonly onFlush: FlushListener | undefined;
}

/** Linear addresses to host frames, for one virtual CPU: its TLB before the page walk. */
export class Mmu {
  readonly #memory: PhysicalMemory<Pfn>;
  readonly #processor: CpuProfile;
  readonly #registers: RegisterFile;
  readonly #controls: Controls;
  readonly #trap: Trap;
  readonly #onFlush: FlushListener | undefined;
  readonly #cache = new TranslationCache();
  readonly #tags = new TranslationTags(this.#cache);
  /** Guest regions of 2 MiB and 1 GiB, by a hash, of which pieces may be cached: INVLPG must drop them all. */
  readonly #pieces2M = new Uint8Array(512);
  readonly #pieces1G = new Uint8Array(64);
  /** Which of them there are: each new one makes other ones, and a point that is brought back has those that it had. */
  #piecesVersion = 0;
  #latestPieces = 0;
  readonly #plainWalker: PageWalker;
  #nested: { readonly secondLevel: CachedSecondLevel; readonly walker: PageWalker } | undefined;
  #secondLevel: SecondLevel<SecondLevelFault> | undefined;
  #root = -1;

  // What follows is derived from registers and controls, and is renewed when they have changed.
  #stale = true;
  #walker: PageWalker;
  #mode = 0;
  #ownTag = -1;
  #globalTag = -1;
  #keys = false;
  /** CR4.LASS: cached translations do not get around it. */
  #lass = false;
  /** What each access needs of a rights word with each XD, R/W and U/S: of {@link NEEDS}, or DENIED, or UNJUDGED. */
  readonly #needs = new Int32Array(256);

  constructor(options: MmuOptions) {
    this.#memory = options.memory;
    this.#processor = options.processor;
    this.#registers = options.registers;
    this.#controls = options.controls;
    this.#trap = options.trap;
    this.#onFlush = options.onFlush;
    const { memory, processor, registers } = options;
    this.#plainWalker = createPageWalker({ memory, processor, registers: registers.paging });
    this.#walker = this.#plainWalker;
  }

  get secondLevel(): SecondLevel<SecondLevelFault> | undefined {
    return this.#secondLevel;
  }

  /** Goes on with another second level, or none. Nothing is flushed: cached translations are tagged by `root`. */
  useSecondLevel(secondLevel: SecondLevel<SecondLevelFault> | undefined, root: number): void {
    this.#secondLevel = secondLevel;
    this.#root = secondLevel === undefined ? -1 : root;
    this.#stale = true;
    if (secondLevel === undefined) return;
    if (this.#nested !== undefined) {
      this.#nested.secondLevel.use(secondLevel, root);
      return;
    }
    const cached = new CachedSecondLevel(secondLevel, root);
    const walker = createPageWalker({
      memory: this.#memory,
      processor: this.#processor,
      registers: this.#registers.paging,
      secondLevel: cached,
    });
    this.#nested = { secondLevel: cached, walker };
  }

  /**
   * The host frame of the linear address `frame << 12 | offset` for an access, READ, WRITE or FETCH of `AccessBits` and
   * perhaps IMPLICIT_SUPERVISOR; the CPL is looked at here. One of the negative `Attempt`s when it is refused.
   */
  translate(frame: VirtualFrame, offset: number, access: number): number {
    if (this.#stale) this.#renew();
    if (this.#lass && this.#walker.violatesLass(frame, this.#bitsOf(access))) {
      return this.#trap.raise(Vector.GP, 0);
    }
    const cache = this.#cache;
    const slot = cache.lookUp(frame);
    if (slot >= 0) {
      const rights = cache.rights(slot);
      // XD, R/W and U/S are the low three bits.
      const need = this.#needs[(access << 3) | (rights & 7)] ?? 0;
      if ((rights & need) === need || (need === UNJUDGED && this.#judge(rights, access))) {
        return cache.target(slot, frame);
      }
    }
    return this.#walk(frame, offset, this.#bitsOf(access));
  }

  /** An access with who makes it: the current CPL, unless the processor accesses memory for itself. */
  #bitsOf(access: number): number {
    return (access & AccessBits.IMPLICIT_SUPERVISOR) === 0 ? access | this.#mode : access;
  }

  /** Something changed that {@link translate} has derived values from. */
  changed(): void {
    this.#stale = true;
  }

  /** The permission checks for a cached entry, remembered until a register changes unless protection keys count. */
  #judge(rights: number, access: number): boolean {
    const bits = this.#bitsOf(access);
    const key = (rights >>> KEY_SHIFT) & 15;
    const allowed = this.#walker.check(rights & PAGE_RIGHTS_MASK, key, bits) === 0;
    const need = NEEDS[bits] ?? 0;
    if (!this.#keys) this.#needs[(access << 3) | (rights & 7)] = allowed ? need : DENIED;
    return allowed && (rights & need) === need;
  }

  /** What brings back all translations that are cached now. */
  checkpoint(): () => void {
    const [secondLevel, root, nested] = [this.#secondLevel, this.#root, this.#nested];
    const [pieces2M, pieces1G] = [this.#pieces2M.slice(), this.#pieces1G.slice()];
    const piecesVersion = this.#piecesVersion;
    const backs = [this.#cache.checkpoint(), this.#tags.checkpoint()];
    const nestedBack = nested?.secondLevel.checkpoint();
    return () => {
      this.#secondLevel = secondLevel;
      this.#root = root;
      this.#nested = nested;
      if (this.#piecesVersion !== piecesVersion) {
        this.#piecesVersion = piecesVersion;
        this.#pieces2M.set(pieces2M);
        this.#pieces1G.set(pieces1G);
      }
      for (const back of backs) back();
      nestedBack?.();
      this.#stale = true;
    };
  }

  /** Tells `digest` all translations that are cached. */
  digest(digest: StateDigest): void {
    digest.add(this.#root);
    this.#cache.digest(digest, this.#tags);
    this.#nested?.secondLevel.digest(digest);
  }

  /** Drops what a control-register write invalidates. */
  applyFlush(flush: TlbFlush, cause: FlushCause): void {
    if (flush.kind === 'none' || this.#tags.empty) return;
    const { vpid } = this.#controls;
    if (flush.kind === 'all') {
      this.#tags.forgetPcids(vpid);
      this.#tags.forgetGlobals(vpid);
    } else {
      this.#tags.forgetPcid(vpid, flush.pcid);
      if (flush.global) this.#tags.forgetGlobals(vpid);
    }
    this.#flushed(cause);
  }

  /** INVLPG, and INVPCID type 0: one address of one PCID (the current one when left out); global pages only with `globals`. */
  invalidateAddress(
    frame: VirtualFrame,
    cause: FlushCause,
    pcid: number = this.#pcid(),
    globals = true,
  ): void {
    this.#invalidate(frame, this.#tags.tagsFor(this.#controls.vpid, pcid, globals));
    this.#onFlush?.(cause, frame);
  }

  /** INVPCID types 1, 2 and 3. */
  invalidatePcid(pcid: number | 'all', globals: boolean): void {
    const { vpid } = this.#controls;
    if (pcid === 'all') this.#tags.forgetPcids(vpid);
    else this.#tags.forgetPcid(vpid, pcid);
    if (globals) this.#tags.forgetGlobals(vpid);
    this.#flushed('invpcid');
  }

  invept(root: number | undefined): void {
    this.#nested?.secondLevel.flush(root);
    if (root === undefined) this.#tags.forgetAll();
    else this.#tags.forgetRoot(root);
    this.#flushed('invept');
  }

  invvpid(scope: InvvpidScope): void {
    if (scope.type === 'address') {
      const frame = Number(scope.va >> 12n) as VirtualFrame;
      this.#invalidate(frame, this.#tags.tagsForVpid(scope.vpid));
      this.#onFlush?.('invvpid', frame);
      return;
    }
    if (scope.type === 'all') {
      this.#tags.forgetAll();
    } else {
      this.#tags.forgetPcids(scope.vpid);
      if (scope.type === 'single-context') this.#tags.forgetGlobals(scope.vpid);
    }
    this.#flushed('invvpid');
  }

  /** Drops all translations of linear addresses of the current VPID. */
  flushVpid(cause: FlushCause): void {
    this.applyFlush({ kind: 'all' }, cause);
  }

  #flushed(cause: FlushCause): void {
    this.#stale = true;
    this.#onFlush?.(cause);
  }

  #pcid(): number {
    const { cr3, cr4 } = this.#registers;
    return (cr4 & CR4.PCIDE) === 0n ? 0 : Number(cr3 & CR3.PCID);
  }

  #renew(): void {
    const { paging, cpl } = this.#registers;
    const { hlat, vpid } = this.#controls;
    this.#walker =
      this.#secondLevel !== undefined && this.#nested !== undefined ? this.#nested.walker : this.#plainWalker;
    this.#walker.setRegisters(hlat === undefined ? paging : { ...paging, hlat });
    this.#keys = (paging.cr4 & (CR4.PKE | CR4.PKS)) !== 0n;
    this.#lass = (paging.cr4 & CR4.LASS) !== 0n;
    this.#needs.fill(UNJUDGED);
    this.#mode = cpl === 3 ? AccessBits.USER : 0;
    if ((paging.cr0 & CR0.PG) === 0n) {
      // Linear addresses are guest-physical ones: only guest-physical mappings are cached (SDM 3C 29.4.1).
      this.#ownTag = -1;
      this.#globalTag = -1;
    } else {
      this.#tags.use(this.#root, vpid, this.#pcid());
      this.#ownTag = this.#tags.own;
      this.#globalTag = this.#tags.global;
    }
    this.#cache.use(this.#globalTag, this.#ownTag);
    this.#stale = false;
  }

  #walk(frame: VirtualFrame, offset: number, bits: number): number {
    const walker = this.#walker;
    switch (walker.walk(frame, offset, bits)) {
      case WalkOutcome.MAPPED:
        if (this.#ownTag >= 0) this.#insert(frame, walker);
        return walker.frame;
      case WalkOutcome.PAGE_FAULT:
        this.#dropFaulting(frame);
        return this.#trap.raise(Vector.PF, walker.errorCode, linear(frame, offset));
      case WalkOutcome.GENERAL_PROTECTION:
        return this.#trap.raise(Vector.GP, 0);
      case WalkOutcome.ABSENT_TABLE:
        return this.#trap.miss(walker.guestFrame * 4096 + walker.guestOffset);
      default:
        this.#dropFaulting(frame);
        return this.#leave(frame, offset, bits);
    }
  }

  #insert(frame: VirtualFrame, walker: PageWalker): void {
    const cache = this.#cache;
    cache.drop(frame, this.#ownTag);
    cache.drop(frame, this.#globalTag);
    const { level, translationLevel, rights } = walker;
    let word =
      (rights & PAGE_RIGHTS_MASK) | (walker.key << KEY_SHIFT) | this.#secondLevelBits(rights, walker);
    if (translationLevel < level) {
      if (level === 2) {
        word |= PIECE_OF_2M;
        this.#addPiece(this.#pieces2M, regionHash(frame, 1));
      } else {
        word |= PIECE_OF_1G;
        this.#addPiece(this.#pieces1G, regionHash(frame, 2));
      }
    }
    const tag = (rights & PageRights.GLOBAL) !== 0 ? this.#globalTag : this.#ownTag;
    cache.insert(frame, (translationLevel - 1) as PageSize, tag, walker.frame, word);
  }

  #addPiece(pieces: Uint8Array, region: number): void {
    if (pieces[region] === 1) return;
    pieces[region] = 1;
    this.#piecesVersion = ++this.#latestPieces;
  }

  /** The second level's rights as the rights word has them: an address is user-mode or supervisor-mode, never both. */
  #secondLevelBits(rights: number, walker: PageWalker): number {
    const allowed = walker.secondLevelRights;
    const fetchSupervisor =
      (rights & PageRights.USER) !== 0
        ? SecondLevelRights.FETCH_SUPERVISOR_FROM_USER_PAGE
        : SecondLevelRights.FETCH_SUPERVISOR;
    return (
      ((allowed & SecondLevelRights.READ) !== 0 ? READ : 0) |
      ((allowed & SecondLevelRights.WRITE) !== 0 ? WRITE : 0) |
      ((allowed & fetchSupervisor) !== 0 ? FETCH_SUPERVISOR : 0) |
      ((allowed & SecondLevelRights.FETCH_USER) !== 0 ? FETCH_USER : 0)
    );
  }

  /** A fault invalidates what is cached for its address (SDM 3A 4.10.4.1, 3C 29.4.3.1). */
  #dropFaulting(frame: VirtualFrame): void {
    if (this.#ownTag < 0) return;
    const own = this.#cache.drop(frame, this.#ownTag);
    const global = this.#cache.drop(frame, this.#globalTag);
    if (own || global) this.#onFlush?.('fault', frame);
  }

  #leave(frame: VirtualFrame, offset: number, bits: number): number {
    const fault = this.#nested?.secondLevel.fault;
    if (fault === undefined) return this.#trap.miss(0);
    this.#trap.operand = (bits & AccessBits.IMPLICIT_SUPERVISOR) !== 0 ? undefined : linear(frame, offset);
    switch (fault.kind) {
      case 'ept-violation': {
        const { qualification, gpa } = fault;
        const gla = (qualification & (1 << 7)) !== 0 ? linear(frame, offset) : undefined;
        return this.#trap.leave(
          { reason: 'ept-violation', qualification, gpa, gla },
          fault.convertible === true,
        );
      }
      case 'ept-misconfiguration':
        return this.#trap.leave({ reason: 'ept-misconfiguration', gpa: fault.gpa });
      case 'nested-page-fault':
        return this.#trap.leave({ reason: 'nested-page-fault', info1: fault.info1, gpa: fault.gpa });
      default:
        return this.#trap.miss(fault.table * 4096);
    }
  }

  #invalidate(frame: VirtualFrame, tags: readonly number[]): void {
    for (const tag of tags) {
      this.#cache.drop(frame, tag);
      if (this.#pieces2M[regionHash(frame, 1)] === 1) this.#dropPieces(frame, 1, tag, PIECE_OF_2M);
      if (this.#pieces1G[regionHash(frame, 2)] === 1) this.#dropPieces(frame, 2, tag, PIECE_OF_1G);
    }
  }

  #dropPieces(frame: VirtualFrame, size: PageSize, tag: number, pieces: number): void {
    const frames = framesOf(size);
    this.#cache.dropRange(frame - (frame % frames), frames, tag, pieces);
  }
}

function regionHash(frame: VirtualFrame, size: 1 | 2): number {
  return Math.floor(frame / framesOf(size)) % (size === 1 ? 512 : 64);
}

/** The linear address of a frame and an offset. */
export function linear(frame: VirtualFrame, offset: number): VirtualAddress {
  return ((BigInt(frame) << 12n) | BigInt(offset)) as VirtualAddress;
}
