import { KvmError, MEM_ATTR_IMMUTABLE } from '@heki/hypercall/kvm';
import { FRAME_END, type Gfn, VIRTUAL_FRAME_END, type VirtualFrame } from '@heki/physical-memory';
import {
  DEFAULT_TABLE_BUDGET,
  EntryHigh,
  EntryLow,
  HARDWARE_PRESENCE,
  LINUX_PRESENCE,
  walkMappings,
} from '@heki/x86';
import { findDirectMap, type KernelLayout, PUBLISHED_LAYOUT } from './address-space.ts';
import { HekiCommand } from './command.ts';
import type { HekiGuestOptions } from './create-heki-guest.ts';
import { type GuestDefectSwitches, guestDefectSwitches } from './defects.ts';
import { GuestError, hex } from './error.ts';
import type {
  EarlyInitResult,
  HekiGuest,
  LateInitResult,
  LeafChange,
  NamedLeaf,
  PermissionCounters,
} from './heki-guest.ts';
import type { HekiHypervisor } from './heki-hypervisor.ts';
import type { HekiKernel, VirtualRange } from './kernel.ts';
import { unmetDependencies } from './kernel-config.ts';
import { LeafFeeder } from './leaf-feeder.ts';
import { LogLine } from './log-line.ts';
import { PageCounters } from './page-counters.ts';
import { PageListBuilder } from './page-list-builder.ts';
import { DEFAULT_PERMISSIONS } from './permission.ts';

/** Brings a call's mappings, in order. */
type MappingSource = (feed: (leaf: NamedLeaf) => void) => void;

const NO_CHANGE: LeafChange = {};
/** Linux's error number for a lock that the caller holds itself: here the kernel would hang. */
const EDEADLK = 35;

/** The state of a Heki core (`struct heki` and the statics of the series), and all that it does. */
export class HekiCore implements HekiGuest {
  hypervisor: HekiHypervisor | undefined;

  readonly #options: HekiGuestOptions;
  readonly #kernel: HekiKernel;
  readonly #defects: GuestDefectSwitches;
  #layout: KernelLayout;
  #counters: PageCounters | undefined;
  /** One for all calls: to make one costs as much as to count a page. */
  #feeder: LeafFeeder | undefined;
  #protectsMemory = false;
  /** Without B-G5: the mappings of the direct map are among those counted. */
  #directMapCounted = false;
  /** `heki_lock`. */
  #locked = false;
  readonly #warned = new Set<string>();

  constructor(options: HekiGuestOptions) {
    const { profile = 'hardened', test = 0 } = options;
    if (!Number.isSafeInteger(test) || test < 0) {
      throw new GuestError(`${test} is no number of a test: expected 1 to 4, or 0 for none`);
    }
    this.#options = options;
    this.#kernel = options.kernel;
    this.#defects = guestDefectSwitches(profile, options.defects);
    this.#layout = PUBLISHED_LAYOUT[options.kernel.levels];
    this.hypervisor = options.hypervisor;
  }

  get protectsMemory(): boolean {
    return this.#protectsMemory;
  }

  get directMap(): VirtualRange {
    return this.#layout.directMap;
  }

  earlyInit(): EarlyInitResult {
    const { config = {}, enabled = true } = this.#options;
    if (this.#counters !== undefined) throw new GuestError('early init was done before: it runs once');
    const reasons = unmetDependencies(config, this.#defects);
    if (reasons.length > 0) return { outcome: 'not-built', reasons };
    if (!enabled) {
      this.#log(LogLine.NOT_ENABLED);
      return { outcome: 'disabled' };
    }
    if (config.RANDOMIZE_BASE === true && this.#defects['B-G20']) {
      this.#log(LogLine.KASLR);
      return { outcome: 'kaslr' };
    }
    this.#log(LogLine.ENABLED);
    if (this.hypervisor === undefined) {
      this.#log(LogLine.NO_HYPERVISOR);
      return { outcome: 'no-hypervisor' };
    }
    this.#log(LogLine.HYPERVISOR);

    this.#counters = new PageCounters({
      defects: this.#defects,
      fiveLevelKernel: config.X86_5LEVEL ?? true,
      la57: this.#kernel.levels === 5,
      onUnknownUnmap: () => this.#warnOnce('pages without counters were unmapped'),
    });
    this.#feeder = new LeafFeeder({
      sink: this.#counters,
      firstFrameDecides: this.#defects['B-G15'],
    });
    if (!this.#defects['B-G20']) this.#layout = this.#foundLayout();
    const { kernel, directMap } = this.#layout;
    const leaves =
      this.#countMappings(kernel.start, directMap.start) + this.#countMappings(directMap.end, kernel.end);
    return { outcome: 'counting', leaves, pages: this.#counters.countedFrames };
  }

  lateInit(): LateInitResult {
    if (this.#counters === undefined || this.hypervisor === undefined) {
      this.#runTest();
      return { outcome: 'not-counting' };
    }
    const locked = this.hypervisor.lockCrs();
    if (locked !== 0) {
      this.#warn(`control registers could not be locked: ${locked}`);
      return { outcome: 'registers-refused', error: locked };
    }
    this.#log(LogLine.REGISTERS_LOCKED);

    const { start, end } = this.#layout.directMap;
    let error = 0;
    if (start < end) {
      error = this.protect(start, end);
    } else {
      this.#log(LogLine.NO_DIRECT_MAP);
      error = -KvmError.EINVAL;
    }
    if (error === 0) this.#log(LogLine.MEMORY_PROTECTED);
    this.#runTest();
    return error === 0 ? { outcome: 'protected' } : { outcome: 'memory-refused', error };
  }

  map(start: VirtualFrame, end: VirtualFrame): number {
    return this.#hook(HekiCommand.MAP, start, end, NO_CHANGE);
  }

  unmap(start: VirtualFrame, end: VirtualFrame): number {
    return this.#hook(HekiCommand.UNMAP, start, end, NO_CHANGE);
  }

  update(start: VirtualFrame, end: VirtualFrame, set: number, clear: number): number {
    return this.#hook(HekiCommand.UPDATE, start, end, checkedChange({ set, clear }));
  }

  protect(start: VirtualFrame, end: VirtualFrame): number {
    checkRange(start, end);
    return this.#call(
      HekiCommand.PROTECT_MEMORY,
      { setGlobal: MEM_ATTR_IMMUTABLE },
      (feed) => this.#walk(start, end, feed),
      { start, end },
    );
  }

  textPokeStart(frames: readonly Gfn[]): number {
    return this.applyLeaves(HekiCommand.MAP, pokedLeaves(frames));
  }

  textPokeEnd(frames: readonly Gfn[]): number {
    return this.applyLeaves(HekiCommand.UNMAP, pokedLeaves(frames));
  }

  applyLeaves(command: HekiCommand, leaves: readonly NamedLeaf[], change: LeafChange = NO_CHANGE): number {
    for (const { guestFrame, frames } of leaves) {
      const integers = Number.isSafeInteger(guestFrame) && Number.isSafeInteger(frames);
      if (!(integers && guestFrame >= 0 && frames >= 0 && guestFrame + frames <= FRAME_END)) {
        throw new GuestError(
          `${frames} frames from ${hex(guestFrame)} on are no mapping: expected frames from 0 to ${hex(FRAME_END)}`,
        );
      }
    }
    return this.#call(command, checkedChange(change), (feed) => {
      for (const leaf of leaves) feed(leaf);
    });
  }

  counters(frame: Gfn): PermissionCounters | undefined {
    return this.#counters?.counters(frame);
  }

  permissions(frame: Gfn): number {
    return this.#counters?.permissions(frame) ?? DEFAULT_PERMISSIONS;
  }

  countedFrames(): number {
    return this.#counters?.countedFrames ?? 0;
  }

  /** A hook over a range of virtual frames. Mappings that are not counted yet do not change counters either. */
  #hook(command: HekiCommand, start: VirtualFrame, end: VirtualFrame, change: LeafChange): number {
    checkRange(start, end);
    const { directMap } = this.#layout;
    const skipped = this.#defects['B-G5'] || this.#directMapCounted ? undefined : directMap;
    return this.#call(
      command,
      change,
      (feed) => {
        if (skipped === undefined) {
          this.#walk(start, end, feed);
        } else {
          this.#walk(start, min(end, skipped.start), feed);
          this.#walk(max(start, skipped.end), end, feed);
        }
      },
      { start, end },
    );
  }

  /** Counts all mappings in a range at early init; the number of leaves. */
  #countMappings(start: VirtualFrame, end: VirtualFrame): number {
    let leaves = 0;
    this.#call(
      HekiCommand.MAP,
      NO_CHANGE,
      (feed) => this.#walk(start, end, feed),
      { start, end },
      (counted) => {
        leaves = counted;
      },
    );
    return leaves;
  }

  /**
   * `heki_func` (Heki v2 14/19, 18/19): does `command` for every mapping that `source` brings, then sends what changed.
   *
   * @param onCounted for many mappings at once, of which none has been counted: takes the number of leaves
   */
  #call(
    command: HekiCommand,
    change: LeafChange,
    source: MappingSource,
    range?: VirtualRange,
    onCounted?: (leaves: number) => void,
  ): number {
    const counters = this.#counters;
    const feeder = this.#feeder;
    if (counters === undefined || feeder === undefined || (range !== undefined && range.start >= range.end))
      return 0;
    if (this.#locked) {
      this.#options.onEvent?.({ type: 'self-deadlock', command });
      return -EDEADLK;
    }
    this.#locked = true;
    try {
      const protectedBefore = this.#protectsMemory;
      const protects = command === HekiCommand.PROTECT_MEMORY;
      if (protects) this.#protectsMemory = true;
      const list = this.#protectsMemory ? this.#newList() : undefined;
      const counts = protects && !this.#defects['B-G5'] && !this.#directMapCounted;
      const protection = counts ? 'count' : protects && this.#defects['B-G5'] ? 'raise' : 'none';
      const undoable = list !== undefined && !this.#defects['B-G1'];
      counters.begin({ ...change, command, protection, sink: list }, undoable);
      feeder.begin(this.#kernel.validFrames, onCounted !== undefined && list === undefined);
      source(feeder.feed);
      feeder.flush();
      const { leaves, frames } = feeder;
      onCounted?.(leaves);
      this.#options.onEvent?.({ type: 'mappings', command, range, leaves, frames });

      const error = list === undefined || list.isEmpty ? 0 : this.#apply(list);
      if (error === 0 || this.#defects['B-G1']) {
        counters.commit();
        if (counts) this.#directMapCounted = true;
      } else {
        counters.rollBack();
        this.#protectsMemory = protectedBefore;
        this.#options.onEvent?.({ type: 'rolled-back', command, error });
      }
      return this.#defects['B-G3'] ? 0 : error;
    } finally {
      this.#locked = false;
    }
  }

  /** `heki_apply_permissions` (Heki v2 18/19). */
  #apply(list: PageListBuilder): number {
    const finished = list.finish();
    const { pages, ranges, frames } = list;
    let result: number;
    if ('error' in finished) {
      result = finished.error;
    } else {
      result = this.#checkedHypervisor().protectMemory(finished.list);
      this.#options.onEvent?.({ type: 'page-list', list: finished.list, pages, ranges, frames, result });
    }
    if (result !== 0) {
      this.#log(LogLine.PERMISSION_FAILED);
      if (this.#defects['B-G1'] && pages > 0) {
        this.#options.onEvent?.({ type: 'list-leaked', pages });
        return result;
      }
    }
    list.free();
    return result;
  }

  #newList(): PageListBuilder {
    this.#checkedHypervisor();
    return new PageListBuilder({
      kernel: this.#kernel,
      defects: this.#defects,
      onDropped: (start, end, permissions) => {
        this.#warnOnce('no page for a page list');
        this.#options.onEvent?.({ type: 'range-dropped', start, end, permissions });
      },
    });
  }

  #checkedHypervisor(): HekiHypervisor {
    if (this.hypervisor === undefined) {
      throw new GuestError('the hypervisor was taken away while memory is protected');
    }
    return this.hypervisor;
  }

  /** `heki_walk` (Heki v2 13/19) over `init_mm`. */
  #walk(start: VirtualFrame, end: VirtualFrame, feed: (leaf: NamedLeaf) => void): void {
    if (start >= end) return;
    const { memory, pageTableRoot, levels } = this.#kernel;
    const presence = this.#defects['B-G15'] ? LINUX_PRESENCE : HARDWARE_PRESENCE;
    const budget = this.#options.tableBudget ?? DEFAULT_TABLE_BUDGET;
    const walked = walkMappings({ memory, root: pageTableRoot, levels, presence, budget }, start, end, feed);
    if (walked.absentTables > 0) this.#warn(`${walked.absentTables} page tables are not in memory`);
    if (walked.stoppedAt !== undefined) {
      this.#warn(
        `page tables without end: nothing from virtual frame ${hex(walked.stoppedAt)} on was walked`,
      );
    }
  }

  /** Where the direct map is in a kernel that may have moved it. */
  #foundLayout(): KernelLayout {
    const { memory, pageTableRoot: root, levels, validFrames } = this.#kernel;
    const { kernel } = PUBLISHED_LAYOUT[levels];
    const budget = this.#options.tableBudget ?? DEFAULT_TABLE_BUDGET;
    const search = { memory, root, levels, validFrames, budget };
    const directMap = this.#kernel.directMap ?? findDirectMap(search);
    return { kernel, directMap: directMap ?? { start: kernel.start, end: kernel.start } };
  }

  #runTest(): void {
    const { config = {}, test = 0, runTest } = this.#options;
    if (config.KUNIT !== true || test < 1 || test > 4) return;
    this.#log(`${LogLine.RUNNING_TEST}${test}`);
    runTest?.(test);
  }

  #log(text: string): void {
    this.#options.onEvent?.({ type: 'log', text });
  }

  #warn(text: string): void {
    this.#options.onEvent?.({ type: 'warning', text });
  }

  #warnOnce(text: string): void {
    if (this.#warned.has(text)) return;
    this.#warned.add(text);
    this.#warn(text);
  }
}

function min(a: VirtualFrame, b: VirtualFrame): VirtualFrame {
  return a < b ? a : b;
}

function max(a: VirtualFrame, b: VirtualFrame): VirtualFrame {
  return a > b ? a : b;
}

function checkRange(start: VirtualFrame, end: VirtualFrame): void {
  const integers = Number.isSafeInteger(start) && Number.isSafeInteger(end);
  if (!(integers && start >= 0 && end >= 0 && start <= VIRTUAL_FRAME_END && end <= VIRTUAL_FRAME_END)) {
    throw new GuestError(
      `virtual frames ${hex(start)}-${hex(end)} are no range: expected 0 to ${hex(VIRTUAL_FRAME_END)}`,
    );
  }
}

function checkedChange(change: LeafChange): LeafChange {
  for (const [name, value = 0] of Object.entries(change)) {
    if (!Number.isInteger(value) || value < 0 || value > 15) {
      throw new GuestError(`${name} is ${value}: expected MEM_ATTR bits, 0 to 15`);
    }
  }
  return change;
}

/** The temporary mapping for patching: PAGE_KERNEL without GLOBAL, so writable and not executable (Heki v2 17/19). */
function pokedLeaves(frames: readonly Gfn[]): NamedLeaf[] {
  if (frames.length < 1 || frames.length > 2) {
    throw new GuestError(`${frames.length} pages to patch: expected 1 or 2`);
  }
  return frames.map((guestFrame) => ({
    guestFrame,
    frames: 1,
    low: EntryLow.P | EntryLow.RW,
    high: EntryHigh.XD,
  }));
}
