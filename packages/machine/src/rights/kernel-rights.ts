import type { Rights, VirtualMachine } from '@heki/hypervisor';
import type { Gfn } from '@heki/physical-memory';

/** What the kernel may do with a page, as one number: an OR of these bits. */
export const KernelRights = { READ: 1, WRITE: 2, EXECUTE: 4 } as const;

const LETTERS = ['---', 'r--', '-w-', 'rw-', '--x', 'r-x', '-wx', 'rwx'] as const;

/** Rights as people write them: `r-x`. @param rights an OR of {@link KernelRights} */
export function kernelRightsText(rights: number): string {
  return LETTERS[rights] ?? '';
}

/** The kernel's part of `rights`; user code's execution is left out. */
export function kernelRightsOf({ read, write, supervisorExecute }: Rights): number {
  return (
    (read ? KernelRights.READ : 0) |
    (write ? KernelRights.WRITE : 0) |
    (supervisorExecute ? KernelRights.EXECUTE : 0)
  );
}

/** What the second level grants the kernel for a frame; nothing where no memory is. */
export function grantedRights(virtualMachine: VirtualMachine, frame: Gfn): number {
  const rights = virtualMachine.effectiveRights(frame);
  return rights === undefined ? 0 : kernelRightsOf(rights);
}
