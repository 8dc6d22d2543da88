import { Errno } from '@heki/hypercall/errno';
import type { Gfn, VirtualFrame } from '@heki/physical-memory';
import { CR0, CR4, type EditResult, EFER, entryBits } from '@heki/x86';
import { completed, createVcpuMemory } from '../mm/vcpu-memory.ts';
import { PAGE_KERNEL } from '../mm/vmalloc.ts';
import { fail } from '../outcome.ts';
import type { SmpState } from '../smp/smp-state.ts';

/** Of the first mapping of the image: everything may be written and executed. */
const PAGE_KERNEL_LARGE_EXEC = entryBits('P', 'RW', 'A', 'D', 'G');
/** Frames of the first mebibyte, which is mapped whatever the memory map says (ISA_END_ADDRESS). */
const ISA_END = 0x100 as Gfn;
/** Pages of a 2-MiB leaf. */
const HUGE = 512;
/** IA32_EFER. */
const MSR_EFER = 0xc000_0080;

/** Early boot has no way on without memory for tables. */
export function mapped({ why }: EditResult): void {
  if (why !== undefined) fail(Errno.ENOMEM, `mapping ended early: ${why}`);
}

/** What Linux switches on where the processor has it. */
const CR4_IF_SUPPORTED = CR4.SMEP | CR4.SMAP | CR4.UMIP | CR4.FSGSBASE | CR4.PKE | CR4.OSXSAVE;

/** head_64.S: the image up to `_end`, and a processor in long mode with paging on. */
export function startup64(kernel: SmpState): void {
  const { image, build, layout, tables, vcpu } = kernel;
  const pages = Math.ceil(build.offsets._end / 4096 / HUGE) * HUGE;
  tables.edit(() => {
    mapped(tables.map(image.start, pages, layout.textFrame, PAGE_KERNEL_LARGE_EXEC, 2));
  });

  // What a boot loader hands over (Documentation/arch/x86/boot.rst, the 64-bit protocol), with the kernel's tables.
  const la57 = layout.levels === 5 ? CR4.LA57 : 0n;
  Object.assign(vcpu.registers, {
    cpl: 0,
    codeSegment64: true,
    rflags: 2n,
    rip: image.address('_text'),
    efer: EFER.LME | EFER.LMA,
    cr4: CR4.PAE | la57,
    cr3: BigInt(tables.root) << 12n,
    cr0: CR0.PE | CR0.PG | CR0.ET,
  });
  const { rip } = vcpu.registers;
  const { processor: cpu } = vcpu;
  const always = CR4.PSE | CR4.PAE | CR4.PGE | CR4.OSFXSR | CR4.OSXMMEXCPT | la57;
  const cr4 = always | (CR4_IF_SUPPORTED & cpu.cr4);
  completed(vcpu.wrmsr(MSR_EFER, EFER.SCE | EFER.LME | EFER.LMA | EFER.NXE), 'instruction', rip);
  completed(
    vcpu.movToCr(0, CR0.PE | CR0.MP | CR0.ET | CR0.NE | CR0.WP | CR0.AM | CR0.PG),
    'instruction',
    rip,
  );
  completed(vcpu.movToCr(4, cr4), 'instruction', rip);
}

/** `cleanup_highmap`: what was mapped behind `_brk_end`, in whole 2 MiB, goes. */
export function cleanupHighmap({ image, build, tables }: SmpState): void {
  const end = image.start + Math.ceil(build.offsets._end / 4096 / HUGE) * HUGE;
  if (end > image.end) tables.edit(() => tables.unmap(image.end, end as VirtualFrame, false));
}

/** `reserve_real_mode`: the highest memory below 1 MiB. */
export function reserveRealMode(kernel: SmpState): void {
  kernel.trampoline = kernel.boot.allocateBelow(ISA_END, kernel.build.trampoline.pages);
}

/**
 * `init_mem_mapping`: the first mebibyte in 4-KiB leaves, and all RAM above in the largest leaves that hold RAM only. Then
 * the kernel runs on these tables, and from here on everything it does to memory goes through the processor.
 */
export function initMemMapping(kernel: SmpState): void {
  const { layout, tables, memoryMap, vcpu } = kernel;
  const largest = vcpu.processor.gigabytePages ? 3 : 2;
  const map = (start: Gfn, end: Gfn): void => {
    const at = (layout.directMap + start) as VirtualFrame;
    mapped(tables.map(at, end - start, start, PAGE_KERNEL, largest));
  };
  tables.edit(() => {
    map(0 as Gfn, ISA_END);
    for (const { start, end, type } of memoryMap.entries) {
      if (type === 'ram' && end > ISA_END) map(Math.max(start, ISA_END) as Gfn, end);
    }
  });
  completed(vcpu.movToCr(3, BigInt(tables.root) << 12n), 'instruction', vcpu.registers.rip);
  kernel.memory = createVcpuMemory(kernel, vcpu);
  kernel.memory.flush('all');
  kernel.emit({ type: 'memory-through-vcpu' });
}
