import { KvmError, MEM_ATTR_IMMUTABLE } from '@heki/hypercall/kvm';
import { type FrameRange, type Gfn, hex, type VirtualFrame } from '@heki/physical-memory';
import { defectSwitches } from '@heki/series';
import { DEFAULT_TABLE_BUDGET } from '@heki/x86';
import { HekiCommand } from '../command.ts';
import { type CountingTask, PageCounters, type RangeSink } from '../counters/page-counters.ts';
import { type GuestDefectSwitches, guestDefects } from '../defects/guest-defects.ts';
import { GuestError } from '../error.ts';
import type {
  EarlyInitResult,
  HekiGuest,
  LateInitResult,
  LeafChange,
  NamedLeaf,
  PermissionCounters,
} from '../heki-guest.ts';
import type { HekiGuestOptions } from '../heki-guest-options.ts';
import type { HekiHypervisor } from '../hypervisor/heki-hypervisor.ts';
import { createPrivateVariables, HekiStruct } from '../hypervisor/heki-struct.ts';
import type { HekiKernel, VirtualRange } from '../kernel/kernel.ts';
import { unmetDependencies } from '../kernel/kernel-config.ts';
import { LogLine } from '../kernel/log-line.ts';
import { PageListBuilder } from '../page-lists/page-list-builder.ts';
import { ProtectionSink } from '../page-lists/protection-sink.ts';
import { WithheldRights } from '../page-lists/withheld-rights.ts';
import { DEFAULT_PERMISSIONS } from '../permission.ts';
import { type KernelLayout, outside, PUBLISHED_LAYOUT } from '../walk/address-space.ts';
import { foundLayout, walkKernel } from '../walk/kernel-walk.ts';
import { LeafFeeder } from '../walk/leaf-feeder.ts';
import { createAfterBoot, GrantedRights } from './after-boot.ts';
import type { CallDetails, MappingSource } from './call-details.ts';
import { checkedChange, checkLeaves, checkRange, pokedLeaves } from './hook-arguments.ts';

const NO_CHANGE: LeafChange = {};
const EARLY: LeafChange = { early: true };
/** Linux's error number for a lock that the caller holds itself: here the kernel would hang. */
const EDEADLK = 35;

/** The state of a Heki core (`struct heki` and the statics of the series), and all that it does. */
export class HekiCore implements HekiGuest {
  readonly #options: HekiGuestOptions;
  readonly #kernel: HekiKernel;
  readonly #defects: GuestDefectSwitches;
  readonly #heki: HekiStruct;
  #layout: KernelLayout;
  #counters: PageCounters | undefined;
  /** One for all calls: to make one costs as much as to count a page. */
  #feeder: LeafFeeder | undefined;
  /** Without B-G5: the mappings of the direct map are among those counted. */
  #directMapCounted = false;
  readonly #withheld = new WithheldRights();
  /** Followed where a secure kernel owns the policy. */
  readonly #granted = new GrantedRights();
  #afterBoot: HekiGuest['secureKernel'];
  /** Frames that were writable and executable when memory was protected last. */
  #exposedFrames = 0;
  /** Where the walk of the latest call was cut short. */
  #stoppedAt: VirtualFrame | undefined;
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
    this.#defects = defectSwitches(guestDefects, profile, options.defects);
    this.#layout = PUBLISHED_LAYOUT[options.kernel.levels];
    this.#heki = new HekiStruct(options.kernel.variables ?? createPrivateVariables(), options.hypervisor);
  }

  get hypervisor(): HekiHypervisor | undefined {
    return this.#heki.driver;
  }

  set hypervisor(driver: HekiHypervisor | undefined) {
    this.#heki.driver = driver;
  }

  get protectsMemory(): boolean {
    return this.#heki.protectsMemoryNow;
  }

  get secureKernel(): HekiGuest['secureKernel'] {
    return this.#afterBoot;
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
    this.#heki.storeDriver();
    if (!this.#heki.hasHypervisor) {
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
    if (!this.#defects['B-G20']) {
      this.#layout = foundLayout(this.#kernel, this.#options.tableBudget ?? DEFAULT_TABLE_BUDGET);
    }
    let leaves = 0;
    for (const { start, end } of outside(this.#layout.kernel, this.#layout.directMap)) {
      leaves += this.#countMappings(start, end);
      if (this.#stoppedAt === undefined) continue;
      this.#counters = undefined;
      return { outcome: 'walk-stopped', stoppedAt: this.#stoppedAt };
    }
    return { outcome: 'counting', leaves, pages: this.#counters.countedFrames };
  }

  lateInit(): LateInitResult {
    if (this.#counters === undefined || this.hypervisor === undefined) {
      this.#runTest();
      return { outcome: 'not-counting' };
    }
    const locked = this.#heki.lockCrs();
    if (locked !== 0) {
      this.#warn(`control registers could not be locked: ${locked}`);
      return { outcome: 'registers-refused', error: locked };
    }
    this.#log(LogLine.REGISTERS_LOCKED);

    const { start, end } = this.#layout.directMap;
    let error = 0;
    this.#exposedFrames = 0;
    if (start < end) {
      error = this.protect(start, end);
    } else {
      this.#log(LogLine.NO_DIRECT_MAP);
      error = -KvmError.EINVAL;
    }
    if (this.#exposedFrames > 0 && !this.#defects['B-G18']) {
      this.#warn(`${this.#exposedFrames} pages are writable and executable: they are not protected`);
    } else if (error === 0) {
      this.#log(LogLine.MEMORY_PROTECTED);
    }
    const refused = error === 0 ? this.#finishBoot() : 0;
    this.#runTest();
    if (refused !== 0) return { outcome: 'end-of-boot-refused', error: refused };
    if (this.#stoppedAt !== undefined) return { outcome: 'walk-stopped', error, stoppedAt: this.#stoppedAt };
    return error === 0 ? { outcome: 'protected' } : { outcome: 'memory-refused', error };
  }

  /** From now on the secure kernel, if there is one, protects nothing more on request. */
  #finishBoot(): number {
    const calls = this.hypervisor?.secureKernel;
    if (calls === undefined) return 0;
    const error = calls.finishBoot();
    if (error === 0) this.#afterBoot = createAfterBoot(calls, this.#granted);
    else this.#warn(`the secure kernel does not end boot: ${error}`);
    return error;
  }

  map(start: VirtualFrame, end: VirtualFrame): number {
    return this.#hook(HekiCommand.MAP, start, end, NO_CHANGE);
  }

  unmap(start: VirtualFrame, end: VirtualFrame): number {
    return this.#hook(HekiCommand.UNMAP, start, end, EARLY);
  }

  update(start: VirtualFrame, end: VirtualFrame, set: number, clear: number): number {
    return this.#hook(HekiCommand.UPDATE, start, end, checkedChange({ set, clear, early: true }));
  }

  settle(): number {
    if (this.#withheld.isEmpty) return 0;
    // These frames were let in when they came, by their mappings: nobody looks again whether they are memory.
    return this.#call(HekiCommand.PROTECT_MEMORY, NO_CHANGE, () => {
      for (const { start, end } of this.#withheld.frames()) this.#counters?.add(start, end, 0, 1);
      return 0;
    });
  }

  protect(start: VirtualFrame, end: VirtualFrame): number {
    checkRange(start, end);
    return this.#call(
      HekiCommand.PROTECT_MEMORY,
      { setGlobal: MEM_ATTR_IMMUTABLE },
      (feed) => this.#walk(start, end, feed),
      { range: { start, end }, protection: this.#protection(), elsewhere: !this.#defects['B-G24'] },
    );
  }

  textPokeStart(frames: readonly Gfn[]): number {
    return this.applyLeaves(HekiCommand.MAP, pokedLeaves(frames));
  }

  textPokeEnd(frames: readonly Gfn[]): number {
    return this.applyLeaves(HekiCommand.UNMAP, pokedLeaves(frames));
  }

  applyLeaves(command: HekiCommand, leaves: readonly NamedLeaf[], change: LeafChange = NO_CHANGE): number {
    checkLeaves(leaves);
    const feedAll: MappingSource = (feed) => {
      for (const leaf of leaves) feed(leaf);
      return 0;
    };
    const protection = command === HekiCommand.PROTECT_MEMORY ? this.#protection() : undefined;
    return this.#call(command, checkedChange(change), feedAll, { protection });
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
        for (const part of outside({ start, end }, skipped)) {
          const error = this.#walk(part.start, part.end, feed);
          if (error !== 0) return error;
        }
        return 0;
      },
      { range: { start, end } },
    );
  }

  /** Counts all mappings in a range at early init; the number of leaves. */
  #countMappings(start: VirtualFrame, end: VirtualFrame): number {
    let leaves = 0;
    const onCounted = (counted: number): void => {
      leaves = counted;
    };
    const range = { start, end };
    this.#call(HekiCommand.MAP, NO_CHANGE, (feed) => this.#walk(start, end, feed), { range, onCounted });
    return leaves;
  }

  /**
   * `heki_func` (Heki v2 14/19, 18/19): does `command` for every mapping that `source` brings, then sends what changed.
   */
  #call(command: HekiCommand, change: LeafChange, source: MappingSource, details: CallDetails = {}): number {
    const { range, onCounted, protection, elsewhere = false } = details;
    const counters = this.#counters;
    const feeder = this.#feeder;
    if (counters === undefined || feeder === undefined || (range !== undefined && range.start >= range.end))
      return 0;
    if (this.#locked) {
      this.#options.onEvent?.({ type: 'self-deadlock', command });
      return -EDEADLK;
    }
    this.#locked = true;
    this.#stoppedAt = undefined;
    try {
      const protectedBefore = this.#heki.protectsMemory;
      if (protection !== undefined) this.#heki.protectsMemory = true;
      const check = this.#afterBoot === undefined ? undefined : this.#granted.checking();
      const sends = (protectedBefore || protection !== undefined) && check === undefined;
      const list = sends ? this.#newList() : undefined;
      const guarded =
        list === undefined || protection === undefined
          ? undefined
          : new ProtectionSink(this.#remembering(list), this.#finalFrames());
      const sink = this.#withholding(check ?? guarded ?? list, change.early === true);
      const undoable = sink !== undefined && !this.#defects['B-G1'];
      counters.begin({ ...change, command, protection: protection ?? 'none', sink, elsewhere }, undoable);
      feeder.begin(this.#kernel.validFrames, onCounted !== undefined && list === undefined);
      const walked = source(feeder.feed);
      feeder.flush();
      const { leaves, frames } = feeder;
      onCounted?.(leaves);
      this.#options.onEvent?.({ type: 'mappings', command, range, leaves, frames });
      if (elsewhere) this.#addElsewhere(counters);

      let error = walked;
      if (walked !== 0) list?.free();
      else if (list !== undefined && !list.isEmpty) error = this.#apply(list);
      if (check?.isExceeded() === true) error = -KvmError.EPERM;
      if (error === 0 || (this.#defects['B-G1'] && walked === 0)) {
        if (protection === 'count') this.#directMapCounted = true;
      } else {
        counters.rollBack();
        this.#withheld.rollBack();
        if (!protectedBefore) this.#heki.protectsMemory = false;
        this.#options.onEvent?.({ type: 'rolled-back', command, error });
      }
      if (guarded !== undefined) this.#exposedFrames = guarded.writableExecutable;
      return this.#defects['B-G3'] && walked === 0 ? 0 : error;
    } finally {
      // What was not taken back stays, also when an oops of the kernel ends the call.
      counters.commit();
      this.#withheld.commit();
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
      result = this.#heki.protectMemory(finished.list);
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

  /** Lets through to `sink` what the hypervisor must hear before a change, if it is `early`; otherwise everything. */
  #withholding(sink: RangeSink | undefined, early: boolean): RangeSink | undefined {
    if (sink === undefined || this.#defects['B-G22'] || (!early && this.#withheld.isEmpty)) return sink;
    return this.#withheld.through(sink, early);
  }

  /** What a secure kernel is asked for is all that there will be. */
  #remembering(list: PageListBuilder): RangeSink {
    return this.hypervisor?.secureKernel === undefined ? list : this.#granted.recording(list);
  }

  /** What protection does to the counters. */
  #protection(): CountingTask['protection'] {
    if (this.#defects['B-G5']) return 'raise';
    return this.#directMapCounted ? 'none' : 'count';
  }

  /** The frames that may become immutable; `undefined`: all. */
  #finalFrames(): readonly FrameRange<Gfn>[] | undefined {
    return this.#defects['B-G16'] ? undefined : this.#kernel.finalFrames;
  }

  #newList(): PageListBuilder {
    return new PageListBuilder({
      kernel: this.#kernel,
      defects: this.#defects,
      onDropped: (start, end, permissions) => {
        this.#warnOnce('no page for a page list');
        this.#options.onEvent?.({ type: 'range-dropped', start, end, permissions });
      },
    });
  }

  /** Sends the RAM that is mapped, but not where protection has looked. */
  #addElsewhere(counters: PageCounters): void {
    const { ramFrames, validFrames } = this.#kernel;
    const frames = counters.addElsewhere(ramFrames ?? validFrames);
    if (frames > 0) this.#options.onEvent?.({ type: 'protected-elsewhere', frames });
  }

  /** 0, or -E2BIG for page tables without end. */
  #walk(start: VirtualFrame, end: VirtualFrame, feed: (leaf: NamedLeaf) => void): number {
    if (start >= end) return 0;
    const defects = this.#defects;
    const budget = this.#options.tableBudget ?? DEFAULT_TABLE_BUDGET;
    const walked = walkKernel({ kernel: this.#kernel, defects, budget }, start, end, feed);
    const { absentTables, tables, sharedPlaces, stoppedAt, tablesAtSeveralLevels } = walked;
    if (absentTables > 0) this.#warn(`${absentTables} page tables are not in memory`);
    if (sharedPlaces > 0) {
      const mappings = walked.mappings - walked.leaves;
      const places = sharedPlaces;
      this.#options.onEvent?.({ type: 'shared-tables', places, mappings, tablesAtSeveralLevels });
    }
    if (stoppedAt === undefined) return 0;
    this.#warn(`page tables without end: nothing from virtual frame ${hex(stoppedAt)} on was walked`);
    this.#options.onEvent?.({ type: 'walk-stopped', stoppedAt, tables: tables + absentTables });
    this.#stoppedAt = stoppedAt;
    return -KvmError.E2BIG;
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
