import type { Gfn, PhysicalMemory, U64, VirtualAddress } from '@heki/physical-memory';
import type { StaleRange } from '@heki/x86';

/**
 * Page tables under edit. A page seen here is the kernel's own view: changes of {@link PhysicalMemory.writablePage} pages reach
 * memory with {@link commit} at the latest.
 */
export interface TableMemory extends PhysicalMemory<Gfn> {
  /** The entry at `slot` of a table, for an edit that needs few of them. @throws {KernelStop} when the load does not complete */
  entry(table: Gfn, slot: number): U64;
  /** Replaces an entry. @throws {KernelStop} when the store does not complete */
  setEntry(table: Gfn, slot: number, low: number, high: number): void;
  /**
   * Stores what was changed, pages of `fresh` first, so that no entry leads to a table that is not there yet.
   *
   * @throws {KernelStop} when a store does not complete; what came before it stays
   */
  commit(fresh: ReadonlySet<Gfn>): void;
  /** Forgets changes that did not reach memory: the kernel stopped in the middle of an edit. */
  discard(): void;
}

/**
 * The one way in which the kernel reaches memory. During early boot it is memory itself; from the moment the kernel runs on its
 * own page tables it is a virtual CPU, and nothing that a second level forbids happens any more.
 */
export interface KernelMemory {
  /** @throws {KernelStop} when it does not complete, as the other two */
  load(address: VirtualAddress, length: number): Uint8Array;
  store(address: VirtualAddress, bytes: Uint8Array): void;
  /** Jumps to `address` and fetches there. */
  fetch(address: VirtualAddress, length: number): Uint8Array;
  readonly tables: TableMemory;
  /** Drops cached translations of kernel addresses. */
  flush(stale: readonly StaleRange[] | 'all'): void;
}
