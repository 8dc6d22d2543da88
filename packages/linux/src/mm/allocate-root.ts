import { Errno } from '@heki/hypercall/errno';
import { type Gfn, PAGE_SIZE } from '@heki/physical-memory';
import { directAddress } from '../layout/layout.ts';
import { fail } from '../outcome.ts';
import type { MmState } from './mm-state.ts';

/** Entries of a root table that belong to the user half. */
const USER_ENTRIES = 256;

/**
 * `pgd_alloc`: a root table whose kernel half is the kernel's, and whose user half is empty. Kernel mappings that come later must lie below
 * the same entries.
 *
 * @throws {KernelStop} -ENOMEM
 */
export function allocateRoot(kernel: MmState): Gfn {
  const root = kernel.pages.allocate();
  if (root === undefined) fail(Errno.ENOMEM, 'no page for a root table');
  const page = kernel.memory.load(directAddress(kernel.layout, kernel.tables.root), PAGE_SIZE);
  kernel.memory.store(directAddress(kernel.layout, root), page.fill(0, 0, 8 * USER_ENTRIES));
  return root;
}
