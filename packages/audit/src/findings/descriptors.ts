import { hex, type PageView, type VirtualAddress, virtualFrameOf } from '@heki/physical-memory';
import { mappedFrame, regionAt } from '@heki/vmcore';
import { CR0 } from '@heki/x86';
import type { AuditedKernel, CpuRegisters } from '../audited-kernel.ts';
import type { FindingKind, Occurrence } from '../finding.ts';
import { occurrenceOf } from '../occurrence.ts';
import { rootOfCpu } from '../root-tables.ts';
import { extentsOfFrames } from '../within.ts';

export const DESCRIPTOR_STRANGE: FindingKind = {
  id: 'heki/descriptor-strange',
  title: 'A segment descriptor that Linux does not have',
  worst: 'critical',
  explanation:
    "Of a CPU's GDT Linux has three segments for the kernel alone, a TSS and an LDT; all else there, and everything in an LDT, is code and data of programs. Here is a gate, another system descriptor, or another segment of the kernel's privilege. Only dumps with the contents of memory show it.",
  attack:
    'A call gate lets any program go to CPL 0, at an address that the attacker wrote down there, by one far call.',
  legitimate: 'Nothing: set_thread_area() and modify_ldt() make no gates.',
  advice: 'Treat the guest as compromised. Look at the table (heki read), and at what the gate leads to.',
  *find(kernel) {
    for (const cpu of kernel.cpus) {
      if ((cpu.cr0 & CR0.PG) === 0n) continue;
      const { gdt, ldt } = cpu;
      if (gdt !== undefined) yield* strangeIn(kernel, cpu, 'GDT', gdt, GDT_BYTES);
      if (ldt !== undefined) yield* strangeIn(kernel, cpu, 'LDT', ldt.base, ldt.limit + 1);
    }
  },
};

/** A page, of which 16 descriptors are used (`struct gdt_page`). */
const GDT_BYTES = 4096;
/** 8192 descriptors. */
const MOST_BYTES = 0x1_0000;

/** KERNEL32_CS, KERNEL_CS and KERNEL_DS (arch/x86/include/asm/segment.h). */
const KERNEL_SEGMENTS: readonly number[] = [1, 2, 3];
/** Types that a system descriptor of the GDT may have, by its index: a TSS, free or in use, and an LDT (SDM Vol. 3, table 3-2). */
const SYSTEM_TYPES: ReadonlyMap<number, readonly number[]> = new Map([
  [8, [0x9, 0xb]],
  [10, [0x2]],
]);
const TYPE_NAMES: ReadonlyMap<number, string> = new Map([
  [0x2, 'an LDT'],
  [0x9, 'a TSS'],
  [0xb, 'a TSS'],
  [0xc, 'a call gate'],
  [0xe, 'an interrupt gate'],
  [0xf, 'a trap gate'],
]);

function* strangeIn(
  kernel: AuditedKernel,
  { cpu, cr3 }: CpuRegisters,
  table: 'GDT' | 'LDT',
  base: VirtualAddress,
  bytes: number,
): Generator<Occurrence> {
  const root = rootOfCpu(kernel.tables, cr3) ?? kernel.tables.root;
  const start = Number(base % 4096n);
  const found: string[] = [];
  const frames = new Set<NonNullable<ReturnType<typeof mappedFrame>>>();
  // The second half of a system descriptor has no type.
  let isSecondHalf = false;
  for (let at = start; at < start + Math.min(bytes, MOST_BYTES); at += 8) {
    const virtual = virtualFrameOf((base - BigInt(start) + BigInt(at)) as VirtualAddress);
    const frame = mappedFrame({ ...kernel.tables, root }, virtual);
    const page: PageView | undefined = frame === undefined ? undefined : kernel.tables.memory.page(frame);
    if (frame === undefined || page === undefined) {
      at += 4096 - (at % 4096) - 8;
      continue;
    }
    const what = isSecondHalf
      ? undefined
      : strangeness(table, (at - start) / 8, page[(at % 4096) / 4 + 1] ?? 0);
    isSecondHalf = !isSecondHalf && table === 'GDT' && SYSTEM_TYPES.has((at - start) / 8);
    if (what === undefined) continue;
    found.push(`descriptor ${(at - start) / 8} is ${what}`);
    frames.add(frame);
  }
  const [first] = found;
  if (first === undefined) return;
  const more = found.length === 1 ? '' : `, and ${found.length - 1} more`;
  yield {
    ...occurrenceOf(kernel, extentsOfFrames(kernel.extents, frames), {
      severity: 'critical',
      summary: `In the ${table} of CPU ${cpu}, ${first}${more}.`,
    }),
    place: `${table}: ${found.join(', ')}`,
  };
}

/** What is strange about a descriptor, by its upper half; `undefined` for one as Linux has it there, or none. */
function strangeness(table: 'GDT' | 'LDT', index: number, high: number): string | undefined {
  if ((high & 0x8000) === 0) return undefined;
  const type = (high >>> 8) % 16;
  if ((high & 0x1000) === 0) {
    if (table === 'GDT' && SYSTEM_TYPES.get(index)?.includes(type) === true) return undefined;
    return TYPE_NAMES.get(type) ?? `a system descriptor of type ${type}`;
  }
  const level = (high >>> 13) % 4;
  if (level === 3 || (table === 'GDT' && KERNEL_SEGMENTS.includes(index))) return undefined;
  return `a segment of privilege level ${level}`;
}

export const TSS_STACK: FindingKind = {
  id: 'heki/tss-stack',
  title: 'The processor is given a stack that is not its own',
  worst: 'high',
  explanation:
    'The TSS tells the processor the stacks on which it enters the kernel: RSP0 and up to seven of the interrupt stack table. Linux has them all in cpu_entry_area. Here one is elsewhere. Only dumps with the contents of memory show it.',
  attack:
    'The frame of the next exception, and what its handler keeps on the stack, is written where the attacker says: to memory that he reads, writes or executes.',
  legitimate: 'A CPU that is starting, and Xen PV.',
  advice: 'Compare the TSS with those of the other CPUs; the direct map is the way by which it is written.',
  *find(kernel) {
    for (const { cpu, cr0, tss } of kernel.cpus) {
      if ((cr0 & CR0.PG) === 0n || tss === undefined || tss % 4096n !== 0n) continue;
      const frame = mappedFrame(kernel.tables, virtualFrameOf(tss));
      const page = frame === undefined ? undefined : kernel.tables.memory.page(frame);
      if (frame === undefined || page === undefined) continue;
      for (const [name, word] of STACKS) {
        const stack = (BigInt(page[word + 1] ?? 0) << 32n) + BigInt(page[word] ?? 0);
        if (stack === 0n) continue;
        // It is the address behind the stack.
        const region = regionAt(kernel.regions, virtualFrameOf((stack - 1n) as VirtualAddress));
        if (region === 'cpu_entry_area') continue;
        const summary = `${name} in the TSS of CPU ${cpu} is ${hex(stack)}: ${region}.`;
        yield {
          ...occurrenceOf(kernel, extentsOfFrames(kernel.extents, [frame]), { severity: 'high', summary }),
          place: `${name}, ${region}`,
        };
      }
    }
  },
};

/** Where a 64-bit TSS has them, in words (SDM Vol. 3, figure 8-11). */
const STACKS: readonly (readonly [name: string, word: number])[] = [
  ['RSP0', 1],
  ...Array.from({ length: 7 }, (_, index) => [`IST${index + 1}`, 9 + 2 * index] as const),
];
