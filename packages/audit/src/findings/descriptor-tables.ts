import { type Gfn, hex, type VirtualAddress, virtualAddress, virtualFrameOf } from '@heki/physical-memory';
import { regionAt } from '@heki/vmcore';
import { CR0, CR4 } from '@heki/x86';
import type { AuditedKernel } from '../audited-kernel.ts';
import type { FindingKind } from '../finding.ts';
import type { FrameExtent } from '../frame-extents.ts';
import { occurrenceOf, occurrencesOf, occurrenceWithoutMemory } from '../occurrence.ts';
import { Rights } from '../rights.ts';
import { extentsOfFrames } from '../within.ts';

/** `CPU_ENTRY_AREA_RO_IDT`, with and without KASLR. */
const IDT_ADDRESS = virtualAddress(0xffff_fe00_0000_0000n);

export const IDT_WRITABLE: FindingKind = {
  id: 'heki/idt-writable',
  title: 'The interrupt descriptor table can be written',
  worst: 'critical',
  explanation:
    'The page that IDTR of some CPU leads to is writable through some mapping: it says where every exception and interrupt goes.',
  attack: 'One gate, and the next interrupt runs what the attacker wants, at CPL 0.',
  legitimate:
    'A kernel that is still booting (before idt_setup_apic_and_irq_gates makes the table read-only).',
  advice: 'Find who gave write permission back to idt_table, or loaded another IDT.',
  *find(kernel) {
    const extents = framesAt(kernel, idtAddresses(kernel)).filter(isWritable);
    yield* occurrencesOf(kernel, extents, ({ places }) => ({
      severity: 'critical',
      summary: `The interrupt descriptor table can be written: ${places}.`,
    }));
  },
};

export const IDT_ELSEWHERE: FindingKind = {
  id: 'heki/idt-elsewhere',
  title: 'The interrupt descriptor table is not where Linux has it',
  worst: 'high',
  explanation:
    'Since 4.15 Linux loads IDTR with the read-only page at the start of cpu_entry_area, on every CPU. Here it leads elsewhere.',
  attack:
    'A table of his own gives the attacker every exception and interrupt, and leaves the real one untouched for who compares it.',
  legitimate: 'A kernel that is still booting.',
  advice: 'Compare IDTR on all CPUs, and look at what made the page that it leads to.',
  *find(kernel) {
    for (const { cpu, cr0, cr4, idt } of kernel.cpus) {
      if ((cr0 & CR0.PG) === 0n || idt === undefined || idt === IDT_ADDRESS) continue;
      // With FRED events go elsewhere, and Linux loads no table.
      if (idt === 0n && (cr4 & CR4.FRED) !== 0n) continue;
      const region = regionAt(kernel.regions, virtualFrameOf(idt));
      yield occurrenceWithoutMemory(region, 'high', `IDTR of CPU ${cpu} is ${hex(idt)}: ${region}.`);
    }
    const symbol = kernel.symbols?.get('idt_table');
    const [expected, mapped] = [symbol, IDT_ADDRESS].map((address) => framesAt(kernel, [address])[0]);
    if (expected === undefined || mapped === undefined || expected.start === mapped.start) return;
    const summary = 'The page at the start of cpu_entry_area is not idt_table.';
    yield occurrenceOf(kernel, [mapped], { severity: 'high', summary });
  },
};

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

/** Where IDTR of each CPU leads, and where Linux has the table: a dump may have no registers. */
function idtAddresses({ cpus }: AuditedKernel): (VirtualAddress | undefined)[] {
  return [IDT_ADDRESS, ...cpus.map(({ idt }) => idt)];
}

function isWritable({ rights }: FrameExtent): boolean {
  return (rights & Rights.WRITE) !== 0;
}

/** The frames that `addresses` lead to, each once. */
function framesAt(
  { mappings, extents }: AuditedKernel,
  addresses: readonly (VirtualAddress | undefined)[],
): FrameExtent[] {
  const frames = new Set<Gfn>();
  for (const address of addresses) {
    if (address === undefined || address === 0n) continue;
    const virtual = virtualFrameOf(address);
    const leaf = mappings.find(
      ({ virtualFrame, frames: count }) => virtual >= virtualFrame && virtual < virtualFrame + count,
    );
    if (leaf !== undefined) frames.add((leaf.guestFrame + (virtual - leaf.virtualFrame)) as Gfn);
  }
  return extentsOfFrames(extents, frames);
}
