import {
  type Gfn,
  hex,
  type PageView,
  type VirtualAddress,
  type VirtualFrame,
  virtualAddress,
  virtualFrameOf,
} from '@heki/physical-memory';
import { regionAt } from '@heki/vmcore';
import { CR0, CR4 } from '@heki/x86';
import type { AuditedKernel } from '../audited-kernel.ts';
import type { FindingKind } from '../finding.ts';
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
import { extentsOfFrames, isOfImage } from '../within.ts';

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
    const [mapped] = framesAt(kernel, [IDT_ADDRESS]);
    if (mapped === undefined) return;
    const symbol = kernel.symbols?.get('idt_table');
    const expected = symbol === undefined ? undefined : virtualFrameOf(symbol) - kernel.sections.distance;
    if (expected === undefined ? isOfImage(kernel, mapped.start) : expected === mapped.start) return;
    const summary = "The page at the start of cpu_entry_area is not idt_table, a page of the kernel's image.";
    yield occurrenceOf(kernel, [mapped], { severity: 'high', summary });
  },
};

export const IDT_GATE: FindingKind = {
  id: 'heki/idt-gate',
  title: "An interrupt gate leads out of the kernel's text",
  worst: 'critical',
  explanation:
    "Every gate of the interrupt descriptor table leads to an entry in the kernel's text, by its code segment. One of these leads elsewhere. Only dumps with the contents of memory show it.",
  attack: 'An exception or interrupt runs what the attacker put there, at CPL 0.',
  legitimate:
    'Gates of reserved exceptions keep the handlers of early boot, in the init text of the image; they are passed over.',
  advice: 'Treat the guest as compromised. Look at what is at the address that the gate holds (heki read).',
  *find(kernel) {
    for (const { start } of framesAt(kernel, idtAddresses(kernel))) {
      const strayed = gatesOf(kernel.tables.memory.page(start)).filter(
        (gate) => gate.selector !== KERNEL_CODE || !isHandler(kernel, gate),
      );
      const [first] = strayed;
      if (first === undefined) continue;
      const more = strayed.length === 1 ? '' : `, and ${strayed.length - 1} more`;
      const summary = `Vector ${first.vector} of the interrupt descriptor table leads to ${hex(first.target)} by selector ${hex(first.selector)}${more}.`;
      yield {
        ...occurrenceOf(kernel, extentsOfFrames(kernel.extents, [start]), { severity: 'critical', summary }),
        place: strayed
          .map(({ vector, target }) => `vector ${vector}, ${gatePlace(kernel, target)}`)
          .join('; '),
      };
    }
  },
};

/** `__KERNEL_CS`. */
const KERNEL_CODE = 0x10;

/** A gate of a 64-bit IDT (SDM Vol. 3, 6.14.1). */
interface Gate {
  readonly vector: number;
  readonly target: VirtualAddress;
  readonly selector: number;
}

/** The gates of an IDT that are present. */
function gatesOf(page: PageView | undefined): Gate[] {
  const gates: Gate[] = [];
  if (page === undefined) return gates;
  for (let vector = 0; vector < 256; vector++) {
    const at = 4 * vector;
    const [first = 0, second = 0, high = 0] = [page[at], page[at + 1], page[at + 2]];
    if ((second & 0x8000) === 0) continue;
    const low = (first & 0xffff) + (second >>> 16) * 0x1_0000;
    gates.push({
      vector,
      target: ((BigInt(high) << 32n) + BigInt(low)) as VirtualAddress,
      selector: first >>> 16,
    });
  }
  return gates;
}

/** Exceptions, as opposed to interrupts (SDM Vol. 3, 6.3.1). */
const EXCEPTIONS = 32;

/**
 * Whether a gate leads to the text; or that of an exception which no processor raises to init text, which was freed: there Linux leaves the
 * handlers of early boot (idt_setup_early_handler). Where somebody made that executable is a finding of its own.
 */
function isHandler({ sections: { text, image } }: AuditedKernel, { vector, target }: Gate): boolean {
  const frame = Number(target >> 12n);
  const within = vector < EXCEPTIONS ? image : text;
  return frame >= within.start && frame < within.end;
}

/** What of a gate's target stays the same after another boot. */
function gatePlace({ regions, sections: { image } }: AuditedKernel, target: bigint): string {
  const at = Number(target >> 12n) as VirtualFrame;
  if (at >= image.start && at < image.end) return `image +${hex(target - (BigInt(image.start) << 12n))}`;
  return at < 2 ** 51 ? "user mode's half" : regionAt(regions, at);
}

export const GDT_WRITABLE: FindingKind = {
  id: 'heki/gdt-writable',
  title: 'The GDT or the TSS can be written where the processor has it',
  worst: 'high',
  explanation:
    'At the address that GDTR or TR of a CPU holds, which SGDT and STR tell and CPU entry code relies on, a page is writable. Linux maps both read-only there, and writes them at another address.',
  attack:
    'A stray or arbitrary write at a known address makes a call gate, or gives exceptions another stack: both lead to CPL 0.',
  legitimate: 'A kernel that is still booting, and 32-bit kernels.',
  advice: 'Find who gave write permission to the pages of cpu_entry_area.',
  *find(kernel) {
    const writable = new Set<Mapping>();
    for (const { cr0, gdt, tss } of kernel.cpus) {
      if ((cr0 & CR0.PG) === 0n) continue;
      for (const address of [gdt, tss]) {
        const mapping =
          address === undefined ? undefined : mappingAt(kernel.mappings, virtualFrameOf(address));
        if (mapping !== undefined && (mapping.rights & Rights.WRITE) !== 0) writable.add(mapping);
      }
    }
    if (writable.size === 0) return;
    const summary = `${pagesText(writable.size)} that GDTR or TR leads to can be written there.`;
    yield occurrenceOfMappings(kernel, [...writable], { severity: 'high', summary });
  },
};

export const GDT_ELSEWHERE: FindingKind = {
  id: 'heki/gdt-elsewhere',
  title: 'GDT or TSS are not where Linux has them',
  worst: 'high',
  explanation:
    'Since 4.15 Linux loads GDTR and TR with addresses in cpu_entry_area, on every CPU. Here one leads elsewhere.',
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
    const leaf = mappingAt(mappings, virtual);
    if (leaf !== undefined) frames.add((leaf.guestFrame + (virtual - leaf.virtualFrame)) as Gfn);
  }
  return extentsOfFrames(extents, frames);
}
