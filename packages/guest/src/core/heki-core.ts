import { KvmError, MEM_ATTR_IMMUTABLE } from '@heki/hypercall/kvm';
import { type Gfn, hex, type VirtualFrame } from '@heki/physical-memory';
import { defectSwitches } from '@heki/series';
import { DEFAULT_TABLE_BUDGET } from '@heki/x86';
import type { ChangeTask } from '../change/change-task.ts';
import { PendingRights } from '../change/pending-rights.ts';
import { type ChangeParts, RightsChange, WIDEN } from '../change/rights-change.ts';
import { HekiCommand } from '../command.ts';
import { type CountingTask, PageCounters } from '../counters/page-counters.ts';
import { type GuestDefectSwitches, guestDefects } from '../defects/guest-defects.ts';
import { GuestError } from '../error.ts';
import type {
  AttributeChange,
  EarlyInitResult,
  HekiGuest,
  LateInitResult,
  MappingChange,
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
import { DEFAULT_PERMISSIONS } from '../permission.ts';
import { type KernelLayout, outside, PUBLISHED_LAYOUT } from '../walk/address-space.ts';
import { walkKernel } from '../walk/kernel-walk.ts';
import { LeafFeeder } from '../walk/leaf-feeder.ts';
import { createAfterBoot, GrantedRights } from './after-boot.ts';
import { checkedTask, checkLeaves, checkRange, pokedLeaves } from './hook-arguments.ts';

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
  readonly #pending = new PendingRights();
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
      throw new GuestError(`${test} is not a number of a test: expected 1 to 4, or 0 for none`);
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
      this.#layout = { ...this.#layout, directMap: this.#kernel.directMap };
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
    return this.#hook({ command: HekiCommand.MAP }, start, end);
  }

  beginChange(): MappingChange {
    return {
      unmap: (start, end) => this.#hook({ command: HekiCommand.UNMAP, early: true }, start, end),
      update: (start, end, set, clear) =>
        this.#hook(checkedTask({ command: HekiCommand.UPDATE, set, clear, early: true }), start, end),
      leaves: (command, leaves, change = {}) =>
        this.#named(checkedTask({ ...change, command, early: true }), leaves),
      inForce: () => (this.#pending.isEmpty ? 0 : this.#change(WIDEN, (change) => change.widen())),
    };
  }

  protect(start: VirtualFrame, end: VirtualFrame): number {
    checkRange(start, end);
    return this.#walked({
      command: HekiCommand.PROTECT_MEMORY,
      setGlobal: MEM_ATTR_IMMUTABLE,
      range: { start, end },
      protection: this.#protection(),
      elsewhere: !this.#defects['B-G24'],
    });
  }

  textPokeStart(frames: readonly Gfn[]): number {
    return this.applyLeaves(HekiCommand.MAP, pokedLeaves(frames));
  }

  textPokeEnd(frames: readonly Gfn[]): number {
    return this.applyLeaves(HekiCommand.UNMAP, pokedLeaves(frames));
  }

  applyLeaves(command: HekiCommand, leaves: readonly NamedLeaf[], change: AttributeChange = {}): number {
    const protection = command === HekiCommand.PROTECT_MEMORY ? this.#protection() : undefined;
    return this.#named(checkedTask({ ...change, command, protection }), leaves);
  }

  counters(frame: Gfn): PermissionCounters | undefined {
    return this.#counters?.counters(frame);
  }

  permissions(frame: Gfn): number {
    return this.#counters?.permissions(frame) ?? DEFAULT_PERMISSIONS;
  }

  forEachPermissions(start: Gfn, end: Gfn, visit: Parameters<HekiGuest['forEachPermissions']>[2]): void {
    if (this.#counters === undefined) visit(DEFAULT_PERMISSIONS, start, end, false);
    else this.#counters.forEachPermissions(start, end, visit);
  }

  countedFrames(): number {
    return this.#counters?.countedFrames ?? 0;
  }

  /** A hook over a range of virtual frames. Mappings that are not counted yet do not change counters either. */
  #hook(task: ChangeTask, start: VirtualFrame, end: VirtualFrame): number {
    checkRange(start, end);
    const { directMap } = this.#layout;
    const skipped = this.#defects['B-G5'] || this.#directMapCounted ? undefined : directMap;
    return this.#walked({ ...task, range: { start, end } }, outside({ start, end }, skipped));
  }

  /** Counts all mappings in a range at early init; the number of leaves. */
  #countMappings(start: VirtualFrame, end: VirtualFrame): number {
    let leaves = 0;
    const onCounted = (counted: number): void => {
      leaves = counted;
    };
    this.#walked({ command: HekiCommand.MAP, range: { start, end }, onCounted });
    return leaves;
  }

  /** A change of the mappings that a walk of `parts` finds; by default the whole range. */
  #walked(task: ChangeTask & { readonly range: VirtualRange }, parts = [task.range]): number {
    if (task.range.start >= task.range.end) return 0;
    return this.#change(task, (change) => {
      let error = 0;
      for (const { start, end } of parts) error ||= this.#walk(start, end, change.add);
      return change.end(error);
    });
  }

  /** A change of mappings that the caller names. */
  #named(task: ChangeTask, leaves: readonly NamedLeaf[]): number {
    checkLeaves(leaves);
    return this.#change(task, (change) => {
      for (const leaf of leaves) change.add(leaf);
      return change.end(0);
    });
  }

  /** Runs one change under `heki_lock`. */
  #change(task: ChangeTask, run: (change: RightsChange) => number): number {
    const counters = this.#counters;
    const feeder = this.#feeder;
    if (counters === undefined || feeder === undefined) return 0;
    if (this.#locked) {
      this.#options.onEvent?.({ type: 'self-deadlock', command: task.command });
      return -EDEADLK;
    }
    this.#locked = true;
    this.#stoppedAt = undefined;
    try {
      const change = new RightsChange(this.#parts(counters, feeder), task);
      const error = run(change);
      const cutShort = this.#stoppedAt !== undefined;
      if (task.protection === 'count' && (error === 0 || (this.#defects['B-G1'] && !cutShort))) {
        this.#directMapCounted = true;
      }
      this.#exposedFrames = change.writableExecutable ?? this.#exposedFrames;
      return this.#defects['B-G3'] && !cutShort ? 0 : error;
    } finally {
      // What was not undone stays, also when an oops of the kernel ends the change.
      counters.commit();
      this.#pending.commit();
      this.#locked = false;
    }
  }

  #parts(counters: PageCounters, feeder: LeafFeeder): ChangeParts {
    return {
      kernel: this.#kernel,
      defects: this.#defects,
      heki: this.#heki,
      feeder,
      counters,
      pending: this.#pending,
      granted: this.#granted,
      bootEnded: this.#afterBoot !== undefined,
      newList: () => this.#newList(),
      send: (list) => this.#apply(list),
      emit: this.#options.onEvent,
    };
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

  /** What protection does to the counters. */
  #protection(): CountingTask['protection'] {
    if (this.#defects['B-G5']) return 'raise';
    return this.#directMapCounted ? 'none' : 'count';
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
