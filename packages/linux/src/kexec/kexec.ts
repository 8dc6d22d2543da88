import { Errno } from '@heki/hypercall/errno';
import {
  addressOf,
  type Gfn,
  PAGE_SIZE,
  type VirtualAddress,
  type VirtualFrame,
} from '@heki/physical-memory';
import { entryIndex } from '@heki/x86';
import { kexecPage } from '../code/sealed-code.ts';
import { validateKexec } from '../heki/secure-kernel.ts';
import { directAddress } from '../layout/layout.ts';
import { setMemoryRox } from '../mm/set-memory.ts';
import { completed } from '../mm/vcpu-memory.ts';
import { fail } from '../outcome.ts';
import type { TextState } from '../text/text-state.ts';

/** Entries of the identity mapping's tables, and its leaf: present, writable, accessed; nothing forbids execution. */
const TABLE = 0x63n;
/** What stands in for relocate_kernel: no-ops. */
const NOP = 0x90;
const CODE = 4;
/** The page that hands over, as a secure kernel knows it. */
export const KEXEC_CONTROL_PAGE: Uint8Array = new Uint8Array(PAGE_SIZE).fill(NOP);

/** Processors and memory, and whether another kernel runs: this one has handed over. */
export interface KexecState extends TextState {
  over: boolean;
}

/**
 * `kernel_kexec`: relocate_kernel is copied to a control page, page tables are built in which that page lies at its physical address
 * (init_pgtable), and the processor switches to them and goes on there: this kernel is over. The control page becomes read-only and executable
 * by set_memory_rox first, as since 6.14: 6.6 does not, and no Heki could know that the page is to be executed.
 *
 * @throws {KernelStop} -ENOMEM, Heki's refusal, or a fetch that does not complete: there is no way back from there
 */
export function kexec(kernel: KexecState): void {
  const { layout, pages, memory, vcpu, emit } = kernel;
  const page = (): Gfn => {
    const frame = pages.allocate() ?? fail(Errno.ENOMEM, 'no page for kexec');
    memory.store(directAddress(layout, frame), new Uint8Array(PAGE_SIZE));
    return frame;
  };
  const control = page();
  if (kernel.sealed === undefined) {
    memory.store(directAddress(layout, control), KEXEC_CONTROL_PAGE);
    validateKexec(kernel, control);
  } else kexecPage(kernel, kernel.sealed, control);
  setMemoryRox(kernel, (layout.directMap + control) as VirtualFrame, 1);

  const address = BigInt(addressOf(control));
  let target = control;
  for (let level = 1; level <= layout.levels; level++) {
    const table = page();
    const slot = entryIndex(control, level);
    const entry = new Uint8Array(8);
    new DataView(entry.buffer).setBigUint64(0, (BigInt(target) << 12n) | TABLE, true);
    memory.store((directAddress(layout, table) + BigInt(8 * slot)) as VirtualAddress, entry);
    target = table;
  }
  const { rip } = vcpu.registers;
  completed(vcpu.cli(), 'instruction', rip);
  completed(vcpu.movToCr(3, BigInt(addressOf(target))), 'instruction', rip);
  completed(vcpu.fetch(address as VirtualAddress, CODE), 'fetch', address as VirtualAddress);
  kernel.over = true;
  emit({ type: 'log', text: 'kexec_core: Starting new kernel' });
}
