import type { MappingChange as HekiChange, ProtectionBits } from '@heki/guest';
import type { VirtualFrame } from '@heki/physical-memory';
import { hekiChanges, hekiInForce, hekiUnmap, hekiUpdate, hekiUpdateFailed } from '../heki/heki-hooks.ts';
import { fail, KernelStop } from '../outcome.ts';
import type { AttributeChange } from './attribute-change.ts';
import type { ChangedLeaf } from './leaf-changes.ts';
import type { MmState } from './mm-state.ts';

/**
 * One change of the kernel's mappings, from the edit of its page tables to what Heki has enforced. It goes one way:
 *
 * 1. Heki hears what pages are about to lose: {@link unmap}, {@link update}, or, leaf by leaf, {@link narrow}. It may refuse; then nothing
 *    is changed.
 * 2. The entries are stored and cached translations dropped, at the end of {@link edit}.
 * 3. The change is in force: Heki grants what pages gain. When it refuses, the attributes are put back; mappings that came or went stay so,
 *    with fewer rights than they could have.
 */
export class MappingChange {
  readonly kernel: MmState;
  readonly #heki: HekiChange | undefined;
  #editing = false;
  /** Leaves that Heki was told of, oldest first. */
  #changed: ChangedLeaf[] = [];

  constructor(kernel: MmState) {
    this.kernel = kernel;
    this.#heki = kernel.heki?.beginChange();
  }

  /** Before mappings are taken away. 0, or Heki's negative error number. */
  unmap(start: VirtualFrame, end: VirtualFrame): number {
    return hekiUnmap(this.kernel, this.#heki, start, end);
  }

  /** Before set_memory_* changes permissions, as published (B-G4). 0, or Heki's negative error number. */
  update(start: VirtualFrame, end: VirtualFrame, operation: 'set' | 'clear', bits: ProtectionBits): number {
    return hekiUpdate(this.kernel, this.#heki, start, end, operation, bits);
  }

  /** After change_page_attr has failed of which {@link update} had told. */
  updateFailed(start: VirtualFrame, end: VirtualFrame, change: AttributeChange): void {
    hekiUpdateFailed(this.kernel, this.#heki, start, end, change);
  }

  /**
   * Leaves have changed in tables that only the kernel sees yet: their pages lose now what they are to lose. Call it inside {@link edit}.
   * 0, or Heki's negative error number; then put the leaves back.
   */
  narrow(leaves: readonly ChangedLeaf[]): number {
    const refused = hekiChanges(this.kernel, this.#heki, leaves);
    if (refused === 0) this.#changed = [...this.#changed, ...leaves];
    return refused;
  }

  /**
   * Edits the page tables, and then the change is in force, also when `body` ends early with an error. An edit within it belongs to it.
   *
   * @throws {KernelStop} of `body`, when storing entries does not complete, or when Heki refuses what pages gain
   */
  edit<Value>(body: () => Value): Value {
    if (this.#editing) return body();
    let value: Value;
    try {
      this.#editing = true;
      value = this.kernel.tables.edit(body);
    } catch (stop) {
      if (stop instanceof KernelStop && stop.outcome.kind === 'error') this.#inForce();
      throw stop;
    } finally {
      this.#editing = false;
    }
    this.#inForce();
    return value;
  }

  #inForce(): void {
    const changed = this.#changed;
    this.#changed = [];
    const refused = hekiInForce(this.kernel, this.#heki);
    if (refused === 0) return;
    if (changed.length > 0) this.#undo(changed);
    fail(-refused, 'Heki refused what pages gained');
  }

  /** The entries as they were, and Heki told so. What was split stays split. */
  #undo(changed: readonly ChangedLeaf[]): void {
    const { kernel } = this;
    kernel.tables.edit(() => {
      putBack(kernel, changed);
      kernel.tables.flushAll();
      const back = changed.toReversed().map((leaf) => ({ ...leaf, old: leaf.next, next: leaf.old }));
      hekiChanges(kernel, this.#heki, back);
    });
    hekiInForce(kernel, this.#heki);
  }
}

/** Puts entries back as they were. What was split stays split. Call it inside an edit of the tables. */
export function putBack({ tables }: Pick<MmState, 'tables'>, changes: readonly ChangedLeaf[]): void {
  for (const { entry } of changes.toReversed()) tables.setEntry(entry, entry.low, entry.high);
}
