import { hex, type VirtualAddress, type VirtualFrame, virtualFrameOf } from '@heki/physical-memory';
import { regionAt } from '@heki/vmcore';
import { CR0 } from '@heki/x86';
import type { AuditedKernel } from '../audited-kernel.ts';
import type { FindingKind, Occurrence } from '../finding.ts';
import type { FrameExtent } from '../frame-extents.ts';
import type { Mapping } from '../mapping.ts';
import { mappingAt } from '../mapping-at.ts';
import {
  occurrenceOf,
  occurrenceOfMappings,
  occurrencesOf,
  occurrenceWithoutMemory,
  pagesText,
} from '../occurrence.ts';
import { Rights } from '../rights.ts';
import { framesAt, idtAddresses, isWritable } from './descriptor-frames.ts';

export const GDT_WRITABLE: FindingKind = {
  id: 'heki/gdt-writable',
  title: 'The GDT or the TSS can be written where the processor has it',
  worst: 'high',
  explanation:
    'At the address that GDTR or TR of a CPU holds, which SGDT and STR tell and CPU entry code relies on, or in the bitmap of I/O ports behind the TSS, a page is writable. Linux maps both read-only there, and writes them at another address.',
  attack:
    'A stray or arbitrary write at a known address makes a call gate, or gives exceptions another stack: both lead to CPL 0.',
  legitimate: 'A kernel that is still booting, and 32-bit kernels.',
  advice: 'Find who gave write permission to the pages of cpu_entry_area.',
  *find(kernel) {
    const writable = new Set<Mapping>();
    for (const { cr0, gdt, tss } of kernel.cpus) {
      if ((cr0 & CR0.PG) === 0n) continue;
      const mappings = [...pagesFrom(kernel, gdt).slice(0, 1), ...pagesOfTss(kernel, tss)];
      for (const mapping of mappings) if ((mapping.rights & Rights.WRITE) !== 0) writable.add(mapping);
    }
    if (writable.size === 0) return;
    const summary = `${pagesText(writable.size)} that GDTR or TR leads to can be written there.`;
    yield occurrenceOfMappings(kernel, [...writable], { severity: 'high', summary });
  },
};

/** `struct tss_struct`: the TSS, and the bitmap of I/O ports twice. */
const TSS_PAGES = 5;

/** What is mapped page by page from `address` on, at most a page more than a TSS has. */
function pagesFrom({ mappings }: AuditedKernel, address: VirtualAddress | undefined): Mapping[] {
  const found: Mapping[] = [];
  for (let page = 0; address !== undefined && page <= TSS_PAGES; page++) {
    const mapping = mappingAt(mappings, (virtualFrameOf(address) + page) as VirtualFrame);
    if (mapping === undefined) break;
    found.push(mapping);
  }
  return found;
}

/** The pages of a TSS, where what follows tells how many they are: a page that is not mapped guards the stacks behind it (Linux 5.0 and later). */
function pagesOfTss(kernel: AuditedKernel, tss: VirtualAddress | undefined): Mapping[] {
  const pages = pagesFrom(kernel, tss);
  return pages.length <= TSS_PAGES ? pages : pages.slice(0, 1);
}

export const GDT_ELSEWHERE: FindingKind = {
  id: 'heki/gdt-elsewhere',
  title: 'GDT or TSS are not where Linux has them',
  worst: 'high',
  explanation:
    'Since 4.15 Linux loads GDTR and TR with addresses in cpu_entry_area, on every CPU with those of its own, behind which are pages of its per-CPU area. Here one leads elsewhere.',
  attack:
    'A table of his own gives the attacker segments and gates of his choice, a task state segment the stacks on which exceptions run.',
  legitimate: 'A CPU that is starting, or sleeping (load_direct_gdt).',
  advice: 'Compare GDTR and TR on all CPUs, and look at what made the page that they lead to.',
  *find(kernel) {
    for (const { cpu, cr0, gdt, tss } of kernel.cpus) {
      if ((cr0 & CR0.PG) === 0n) continue;
      for (const [name, address] of [
        ['GDTR', gdt],
        ['TR', tss],
      ] as const) {
        if (address === undefined) continue;
        const region = regionAt(kernel.regions, virtualFrameOf(address));
        if (region === 'cpu_entry_area') continue;
        const summary = `${name} of CPU ${cpu} leads to ${hex(address)}: ${region}.`;
        yield occurrenceWithoutMemory(`${name}, ${region}`, 'high', summary);
      }
    }
    yield* sharedTables(kernel);
    yield* exchangedFrames(kernel);
  },
};

/** Each CPU has a GDT and a TSS of its own. */
function* sharedTables(kernel: AuditedKernel): Generator<Occurrence> {
  for (const [name, field] of [
    ['GDTR', 'gdt'],
    ['TR', 'tss'],
  ] as const) {
    const owners = new Map<VirtualAddress, number>();
    for (const { cpu, cr0, [field]: address } of kernel.cpus) {
      if ((cr0 & CR0.PG) === 0n || address === undefined) continue;
      const owner = owners.get(address);
      if (owner === undefined) owners.set(address, cpu);
      else
        yield occurrenceWithoutMemory(
          `${name}, shared`,
          'high',
          `${name} of CPU ${cpu} is that of CPU ${owner}.`,
        );
    }
  }
}

/**
 * What cpu_entry_area shows as GDT and TSS of a CPU are pages of its per-CPU area, a few pages apart (`.data..percpu..page_aligned`). With
 * percpu_alloc=page they are anywhere, and vmalloc shows them, too.
 */
function* exchangedFrames(kernel: AuditedKernel): Generator<Occurrence> {
  for (const { cpu, cr0, gdt, tss } of kernel.cpus) {
    if ((cr0 & CR0.PG) === 0n || gdt === undefined || tss === undefined) continue;
    const [[one], [other]] = [framesAt(kernel, [gdt]), framesAt(kernel, [tss])];
    if (one === undefined || other === undefined) continue;
    if (Math.abs(one.start - other.start) <= PER_CPU_PAGES || [one, other].every(isInVmalloc)) continue;
    const summary = `GDT and TSS of CPU ${cpu} are not pages of one per-CPU area: one of them was exchanged for another page.`;
    yield occurrenceOf(kernel, [one, other], { severity: 'high', summary });
  }
}

/** In Debian's kernels they are 5 apart. */
const PER_CPU_PAGES = 128;

function isInVmalloc({ mappings }: FrameExtent): boolean {
  return mappings.some(({ region }) => region.startsWith('vmalloc'));
}

export const DESCRIPTOR_TABLES_WRITABLE: FindingKind = {
  id: 'heki/descriptor-tables-writable',
  title: 'GDT and TSS can be written through the direct map',
  worst: 'info',
  explanation:
    'cpu_entry_area maps the GDT, the TSS and entry stacks read-only, so that a stray write does not hit them at a known address; the per-CPU memory behind them stays writable in the direct map.',
  attack:
    'With a write to the direct map an attacker changes the TSS (IST stacks, I/O bitmap) or a segment descriptor of a CPU.',
  legitimate: 'Every x86-64 Linux: six pages for each possible CPU.',
  advice:
    'Nothing to be done in the guest. A hypervisor that protects these frames has to let context switches write the TSS.',
  *find(kernel) {
    const idt = new Set(framesAt(kernel, idtAddresses(kernel)).map(({ start }) => start));
    const extents = kernel.extents.filter(
      (extent) =>
        !idt.has(extent.start) &&
        isWritable(extent) &&
        extent.mappings.some(({ region, rights }) => region === 'cpu_entry_area' && rights === Rights.READ),
    );
    yield* occurrencesOf(kernel, extents, ({ pagesText, places }) => ({
      severity: 'info',
      summary: `${pagesText} that cpu_entry_area maps read-only can be written elsewhere: ${places}.`,
    }));
  },
};
