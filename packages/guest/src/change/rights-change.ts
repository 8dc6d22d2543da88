import { KvmError } from '@heki/hypercall/kvm';
import type { FrameRange, Gfn } from '@heki/physical-memory';
import { HekiCommand } from '../command.ts';
import type { GrantedRights } from '../core/after-boot.ts';
import type { PageCounters, RangeSink } from '../counters/page-counters.ts';
import type { GuestDefectSwitches } from '../defects/guest-defects.ts';
import type { GuestEvent } from '../event.ts';
import type { NamedLeaf } from '../heki-guest.ts';
import type { HekiStruct } from '../hypervisor/heki-struct.ts';
import type { HekiKernel } from '../kernel/kernel.ts';
import type { PageListBuilder } from '../page-lists/page-list-builder.ts';
import type { LeafFeeder } from '../walk/leaf-feeder.ts';
import type { ChangeTask } from './change-task.ts';
import { FinalFrames } from './final-frames.ts';
import type { PendingRights } from './pending-rights.ts';

/** The parts of a core that a change goes through, in this order. */
export interface ChangeParts {
  readonly kernel: HekiKernel;
  readonly defects: GuestDefectSwitches;
  readonly heki: HekiStruct;
  /** Mappings become runs of frames of memory. */
  readonly feeder: LeafFeeder;
  /** Runs of frames become permissions that have changed. */
  readonly counters: PageCounters;
  readonly pending: PendingRights;
  /** What was ever asked for, where a secure kernel owns the policy. */
  readonly granted: GrantedRights;
  /** The secure kernel takes no requests any more: a change is only checked. */
  readonly bootEnded: boolean;
  /** Ranges become a page list. */
  readonly newList: () => PageListBuilder;
  /** The page list becomes a hypercall. 0 or a negative error. */
  readonly send: (list: PageListBuilder) => number;
  readonly emit: ((event: GuestEvent) => void) | undefined;
}

/**
 * One change of what pages may do, from mappings to the hypercall: `heki_func` (Heki v2 14/19, 18/19). It goes one way:
 *
 * {@link add} a mapping -> runs of memory -> counters -> permissions that changed -> narrow now, widen later -> final frames -> page list
 * -> hypercall
 *
 * and ends in {@link end}: kept, or undone as a whole. `heki_lock` is held from the first to the last.
 */
export class RightsChange {
  readonly #parts: ChangeParts;
  readonly #task: ChangeTask;
  /** Memory was protected before. */
  readonly #protectedBefore: boolean;
  readonly #list: PageListBuilder | undefined;
  readonly #final: FinalFrames | undefined;
  readonly #check: ReturnType<GrantedRights['checking']> | undefined;

  /** The next mapping, in the order in which the kernel meets them. */
  readonly add: (leaf: NamedLeaf) => void;

  /** Begins a change. */
  constructor(parts: ChangeParts, task: ChangeTask) {
    const { counters, defects, feeder, granted, heki, kernel } = parts;
    const { protection, onCounted, elsewhere = false } = task;
    this.#parts = parts;
    this.#task = task;
    this.add = feeder.feed;
    this.#protectedBefore = heki.protectsMemory;
    if (protection !== undefined) heki.protectsMemory = true;
    this.#check = parts.bootEnded ? granted.checking() : undefined;
    const sends = (this.#protectedBefore || protection !== undefined) && this.#check === undefined;
    this.#list = sends ? parts.newList() : undefined;
    this.#final =
      this.#list === undefined || protection === undefined
        ? undefined
        : new FinalFrames(this.#remembering(this.#list), this.#finalFrames());
    const sink = this.#timed(this.#check ?? this.#final ?? this.#list);
    const undoable = sink !== undefined && !defects['B-G1'];
    counters.begin({ ...task, protection: protection ?? 'none', sink, elsewhere }, undoable);
    feeder.begin(kernel.validFrames, onCounted !== undefined && this.#list === undefined);
  }

  /** Frames that were writable and executable, of those that were sent; `undefined` unless memory was protected. */
  get writableExecutable(): number | undefined {
    return this.#final?.writableExecutable;
  }

  /**
   * All mappings were added, or as many as there could be: `error` tells. Sends what changed. 0, or a negative error number; then, unless
   * B-G1, everything is as before.
   */
  end(error: number): number {
    const { counters, emit, feeder } = this.#parts;
    const { command, onCounted, range, elsewhere } = this.#task;
    feeder.flush();
    const { leaves, frames } = feeder;
    onCounted?.(leaves);
    emit?.({ type: 'mappings', command, range, leaves, frames });
    if (elsewhere === true) this.#addElsewhere(counters);
    return this.#conclude(error);
  }

  /** Sends what waits to be granted: the change that it belongs to is in force. 0, or a negative error number. */
  widen(): number {
    const { counters, pending } = this.#parts;
    // These frames were let in when they came, by their mappings: whether they are memory is known.
    for (const { start, end } of pending.frames()) counters.add(start, end, 0, 1);
    return this.#conclude(0);
  }

  #conclude(cutShort: number): number {
    const { counters, defects, emit, heki, pending, send } = this.#parts;
    let error = cutShort;
    if (cutShort !== 0) this.#list?.free();
    else if (this.#list !== undefined && !this.#list.isEmpty) error = send(this.#list);
    if (this.#check?.isExceeded() === true) error = -KvmError.EPERM;
    if (error !== 0 && (!defects['B-G1'] || cutShort !== 0)) {
      counters.rollBack();
      pending.rollBack();
      if (!this.#protectedBefore) heki.protectsMemory = false;
      emit?.({ type: 'rolled-back', command: this.#task.command, error });
    }
    return error;
  }

  /** Stage: what the hypervisor must hear before the page tables change, and what after. */
  #timed(sink: RangeSink | undefined): RangeSink | undefined {
    const { defects, pending } = this.#parts;
    if (sink === undefined || defects['B-G22']) return sink;
    if (this.#task.early === true) return pending.narrow(sink);
    return pending.isEmpty ? sink : pending.widen(sink);
  }

  /** Stage: what a secure kernel is asked for is all that there will be. */
  #remembering(list: PageListBuilder): RangeSink {
    const { granted, heki } = this.#parts;
    return heki.driver?.secureKernel === undefined ? list : granted.recording(list);
  }

  /** The frames that may become immutable; `undefined`: all. */
  #finalFrames(): readonly FrameRange<Gfn>[] | undefined {
    return this.#parts.defects['B-G16'] ? undefined : this.#parts.kernel.finalFrames;
  }

  /** Sends the RAM that is mapped, but not where protection has looked. */
  #addElsewhere(counters: PageCounters): void {
    const { ramFrames, validFrames } = this.#parts.kernel;
    const frames = counters.addElsewhere(ramFrames ?? validFrames);
    if (frames > 0) this.#parts.emit?.({ type: 'protected-elsewhere', frames });
  }
}

/** The task of {@link RightsChange.widen}: the counters stay as they are. */
export const WIDEN: ChangeTask = { command: HekiCommand.PROTECT_MEMORY };
