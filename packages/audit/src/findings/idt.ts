import {
  hex,
  type PageView,
  type VirtualAddress,
  type VirtualFrame,
  virtualFrameOf,
} from '@heki/physical-memory';
import { regionAt } from '@heki/vmcore';
import { CR0, CR4 } from '@heki/x86';
import type { AuditedKernel } from '../audited-kernel.ts';
import type { FindingKind } from '../finding.ts';
import { occurrenceOf, occurrencesOf, occurrenceWithoutMemory } from '../occurrence.ts';
import { extentsOfFrames, isOfImage } from '../within.ts';
import { framesAt, IDT_ADDRESS, idtAddresses, isWritable } from './descriptor-frames.ts';

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
    "Every gate of the interrupt descriptor table leads to an entry in the kernel's text (.entry.text, where symbols tell it), by its code segment. One of these leads elsewhere. Only dumps with the contents of memory show it.",
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

/** Breakpoint, overflow, and the system call of 32-bit programs (SYSG in arch/x86/kernel/idt.c). */
const VECTORS_OF_PROGRAMS: readonly number[] = [3, 4, 0x80];

export const IDT_GATE_OPEN: FindingKind = {
  id: 'heki/idt-gate-open',
  title: 'Programs may call a gate that is not for them',
  worst: 'high',
  explanation:
    'The privilege level of a gate says who may name it in an INT instruction. Linux lets programs call three vectors: 3, 4 and 0x80. Here another one is open. Only dumps with the contents of memory show it.',
  attack:
    "A program enters the handler of a fault or an interrupt when it likes, with an error code missing or a stack of its choice; a handler of the attacker's behind it is a door to CPL 0.",
  legitimate: 'Nothing.',
  advice: 'Find who wrote the gate; compare the table with that of another boot (heki read).',
  *find(kernel) {
    for (const { start } of framesAt(kernel, idtAddresses(kernel))) {
      const open = gatesOf(kernel.tables.memory.page(start)).filter(
        ({ vector, level }) => level !== 0 && !VECTORS_OF_PROGRAMS.includes(vector),
      );
      if (open.length === 0) continue;
      const vectors = open.map(({ vector }) => vector);
      const more = vectors.length > NAMED ? ` and ${vectors.length - NAMED} more` : '';
      const summary = `Programs may call vector ${vectors.slice(0, NAMED).join(', ')}${more} of the interrupt descriptor table.`;
      yield {
        ...occurrenceOf(kernel, extentsOfFrames(kernel.extents, [start]), { severity: 'high', summary }),
        place: `vectors ${vectors.join(', ')}`,
      };
    }
  },
};

/** Vectors that a summary names. */
const NAMED = 4;

/** `__KERNEL_CS`. */
const KERNEL_CODE = 0x10;

/** A gate of a 64-bit IDT (SDM Vol. 3, 6.14.1). */
interface Gate {
  readonly vector: number;
  readonly target: VirtualAddress;
  readonly selector: number;
  /** Privilege level down to which INT may name it: 0 or 3. */
  readonly level: number;
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
      level: (second >>> 13) % 4,
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
function isHandler(kernel: AuditedKernel, { vector, target }: Gate): boolean {
  const { text, image } = kernel.sections;
  const frame = Number(target >> 12n);
  const isIn = ({ start, end }: typeof text): boolean => frame >= start && frame < end;
  if (!isIn(text)) return vector < EXCEPTIONS && isIn(image);
  const start = kernel.symbols?.get('__entry_text_start');
  const end = kernel.symbols?.get('__entry_text_end');
  return start === undefined || end === undefined || (target >= start && target < end);
}

/** What of a gate's target stays the same after another boot. */
function gatePlace({ regions, sections: { image } }: AuditedKernel, target: bigint): string {
  const at = Number(target >> 12n) as VirtualFrame;
  if (at >= image.start && at < image.end) return `image +${hex(target - (BigInt(image.start) << 12n))}`;
  return at < 2 ** 51 ? "user mode's half" : regionAt(regions, at);
}
