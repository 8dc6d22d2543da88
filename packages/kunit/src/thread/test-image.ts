import type { LinuxKernel } from '@heki/linux';
import {
  type Gfn,
  type Gpa,
  PAGE_SIZE,
  type PhysicalMemory,
  type VirtualAddress,
  writeBytes,
} from '@heki/physical-memory';

/** What the linker has put into the kernel's image for the tests. */
export interface TestImage {
  /** Two pages of constants, not aligned to a page: .rodata. They read zero. */
  readonly constBuffer: VirtualAddress;
  /** The same among what is read-only after init: .data..ro_after_init, behind .rodata. */
  readonly roAfterInitBuffer: VirtualAddress;
  /** A function in .rodata that returns its argument plus one. */
  readonly execFunction: VirtualAddress;
}

/** ENDBR64; LEA RAX, [RDI+1]; RET. */
const EXEC_FUNCTION = Uint8Array.of(0xf3, 0x0f, 0x1e, 0xfa, 0x48, 0x8d, 0x47, 0x01, 0xc3);

/** Offsets in .rodata, and from its end backwards. Neither buffer begins where a page does. */
const CONST_BUFFER = 0x8040n;
const EXEC_OFFSET = 0x1_0200n;
const RO_AFTER_INIT_BEFORE_END = 0x4f80n;

/** Finds room in .rodata and loads the function there, as a boot loader loads an image: before the kernel runs. */
export function loadTestImage(kernel: LinuxKernel, memory: PhysicalMemory<Gfn>): TestImage {
  const rodata = kernel.address('__start_rodata');
  const execFunction = (rodata + EXEC_OFFSET) as VirtualAddress;
  const offset = Number(execFunction - kernel.address('_text'));
  writeBytes<Gfn>(memory, (kernel.layout.textFrame * PAGE_SIZE + offset) as Gpa, EXEC_FUNCTION);
  return {
    constBuffer: (rodata + CONST_BUFFER) as VirtualAddress,
    roAfterInitBuffer: (kernel.address('__end_rodata') - RO_AFTER_INIT_BEFORE_END) as VirtualAddress,
    execFunction,
  };
}
