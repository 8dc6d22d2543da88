import { hekiChanges, hekiSettle } from '../heki/heki-hooks.ts';
import { fail } from '../outcome.ts';
import type { ChangedLeaf } from './leaf-changes.ts';
import type { MmState } from './mm-state.ts';
import type { PageTables } from './page-tables.ts';

/** Puts entries back as they were. What was split stays split. Call it inside an edit of the tables. */
export function putBack(tables: PageTables, changes: readonly ChangedLeaf[]): void {
  for (const { entry } of changes.toReversed()) tables.setEntry(entry, entry.low, entry.high);
}

/**
 * What an edit of the kernel's tables changed is in force: Heki may grant what it withheld until now. When it refuses, the
 * attributes that the edit changed are put back; mappings that it made or took away stay so, with fewer rights than they could have.
 *
 * @throws {KernelStop} when Heki refuses
 */
export function settleChanges(kernel: MmState): void {
  const changes = kernel.unsettled;
  kernel.unsettled = [];
  const refused = hekiSettle(kernel);
  if (refused === 0) return;
  if (changes.length > 0) {
    kernel.tables.edit(() => {
      putBack(kernel.tables, changes);
      kernel.tables.flushAll();
      hekiChanges(
        kernel,
        changes.toReversed().map((change) => ({ ...change, old: change.next, next: change.old })),
      );
    });
  }
  fail(-refused, 'Heki refused what pages gained');
}
