import { virtualAddress } from '@heki/physical-memory';
import { expect, test } from 'vitest';
import type { AuditSubject } from '../index.ts';
import {
  type Attack,
  CPU_ENTRY_AREA,
  cpu,
  findingsAfter,
  kindsOf,
  RAM,
  to,
  VMALLOC,
} from '../testing/attacks.ts';
import type { TamperedKernel } from '../testing/tampered-kernel.ts';

const GDT = CPU_ENTRY_AREA + 0x1000n;
const TSS = CPU_ENTRY_AREA + 0x3000n;
const TWO_CPUS = 'foreign/k61-la57-pti-2cpus';

/** The GDT of CPU 0 as Debian's 6.1 has it (QEMU, full dump), in words. */
const SOUND_GDT = [
  [0, 0],
  [0xffff, 0x00cf_9b00],
  [0xffff, 0x00af_9b00],
  [0xffff, 0x00cf_9300],
  [0xffff, 0x00cf_fb00],
  [0xffff, 0x00cf_f300],
  [0xffff, 0x00af_fb00],
  [0, 0],
  [0x3000_4087, 0x0000_8b00],
  [0xffff_fe00, 0],
  [0, 0],
  [0, 0],
  [0, 0],
  [0, 0],
  [0, 0],
  [0, 0x0040_f500],
].flat();
/** Its TSS: RSP0, and IST1 to IST5. */
const SOUND_TSS = [
  [1, 0x3000],
  [9, 0xb000],
  [11, 0xe000],
  [13, 0x1_1000],
  [15, 0x1_4000],
  [17, 0x1_7000],
] as const;

function fillGdt(kernel: TamperedKernel, changes: Readonly<Record<number, readonly [number, number]>>): void {
  const page = new Uint32Array(1024);
  page.set(SOUND_GDT);
  for (const [index, words] of Object.entries(changes)) page.set(words, 2 * Number(index));
  kernel.fill(kernel.frameAt(GDT), page);
}

function fillTss(kernel: TamperedKernel, changes: Readonly<Record<number, readonly [number, number]>>): void {
  const page = new Uint32Array(1024);
  for (const [word, low] of SOUND_TSS) page.set([low, 0xffff_fe00], word);
  for (const [word, stack] of Object.entries(changes)) page.set(stack, Number(word));
  kernel.fill(kernel.frameAt(TSS), page);
}

/** An IDT all of whose gates lead to entry code. @param offset of the target in the page of entry code */
function fillIdt(kernel: TamperedKernel, gates: Readonly<Record<number, readonly [number, number]>>): void {
  const page = new Uint32Array(1024);
  for (let vector = 0; vector < 256; vector++) {
    const [low, high] = gates[vector] ?? [0x0010_1000, 0x81c0_8e00];
    page.set([low, high, 0xffff_ffff, 0], 4 * vector);
  }
  kernel.fill(kernel.frameAt(CPU_ENTRY_AREA), page);
}

const onGdt = { cpus: [{ ...cpu, gdt: virtualAddress(GDT), tss: virtualAddress(TSS) }] };
const CALL_GATE = [0x0010_0000, 0x8100_ec00] as const;

const ATTACKS: readonly Attack[] = [
  {
    name: 'nothing: descriptor tables and a TSS as Debian has them, and vectors that programs may call',
    tamper(kernel) {
      fillGdt(kernel, {});
      fillTss(kernel, {});
      const open = [0x0010_1000, 0x81c0_ee00] as const;
      fillIdt(kernel, { 3: open, 4: open, 128: open });
      return onGdt;
    },
    found: [],
  },
  {
    name: 'a call gate where a program has thread-local storage',
    tamper(kernel) {
      fillGdt(kernel, { 12: CALL_GATE });
      return onGdt;
    },
    found: ['critical heki/descriptor-strange'],
  },
  {
    name: 'a call gate behind the descriptors that Linux uses',
    tamper(kernel) {
      fillGdt(kernel, { 300: CALL_GATE });
      return onGdt;
    },
    found: ['critical heki/descriptor-strange'],
  },
  {
    name: 'a code segment of CPL 0 among those of programs',
    tamper(kernel) {
      fillGdt(kernel, { 13: [0xffff, 0x00af_9b00] });
      return onGdt;
    },
    found: ['critical heki/descriptor-strange'],
  },
  {
    name: 'a call gate in the LDT of the program that runs',
    tamper(kernel) {
      const page = new Uint32Array(1024);
      page.set([0xffff, 0x00cf_fb00, ...CALL_GATE], 0);
      kernel.fill(kernel.frameAt(VMALLOC), page);
      return { cpus: [{ ...cpu, ldt: { base: virtualAddress(VMALLOC), limit: 0xf } }] };
    },
    found: ['critical heki/descriptor-strange'],
  },
  {
    name: 'an interrupt stack in vmalloc',
    tamper(kernel) {
      fillTss(kernel, { 11: [0x4000, 0xffff_c900] });
      return onGdt;
    },
    found: ['high heki/tss-stack'],
  },
  {
    name: 'RSP0 in the memory of a program',
    tamper(kernel) {
      fillTss(kernel, { 1: [0x40_1000, 0] });
      return onGdt;
    },
    found: ['high heki/tss-stack'],
  },
  {
    name: 'a page fault that programs may raise by INT',
    tamper: (kernel) => void fillIdt(kernel, { 14: [0x0010_1000, 0x81c0_ee00] }),
    found: ['high heki/idt-gate-open'],
  },
  {
    name: 'a gate that leads into the text, and not to an entry',
    tamper: (kernel) => void fillIdt(kernel, { 32: [0x0010_1000, 0x8110_8e00] }),
    found: ['critical heki/idt-gate'],
  },
  {
    name: 'the page of the GDT exchanged behind its address',
    tamper: (kernel) => void kernel.edit(GDT, 1, to(RAM)),
    found: ['high heki/entry-area-remapped', 'high heki/gdt-elsewhere'],
  },
  {
    name: 'the page of the TSS exchanged behind its address',
    tamper: (kernel) => void kernel.edit(TSS, 1, to(RAM)),
    found: ['high heki/entry-area-remapped', 'high heki/gdt-elsewhere'],
  },
  {
    name: 'one GDT for two CPUs',
    on: TWO_CPUS,
    tamper: (kernel) => withSecond(kernel, ({ gdt }) => ({ gdt })),
    found: ['high heki/gdt-elsewhere'],
  },
  {
    name: 'one TSS for two CPUs',
    on: TWO_CPUS,
    tamper: (kernel) => withSecond(kernel, ({ tss }) => ({ tss })),
    found: ['high heki/gdt-elsewhere'],
  },
];

type Cpu = AuditSubject['cpus'][number];

/** The second CPU takes over registers of the first. */
function withSecond(kernel: TamperedKernel, of: (first: Cpu) => Partial<Cpu>): Partial<AuditSubject> {
  const [one, two] = kernel.subject().cpus;
  if (one === undefined || two === undefined) throw new Error('expected two CPUs');
  return { cpus: [one, { ...two, ...of(one) }] };
}

test.each(ATTACKS.map((attack) => [attack.name, attack] as const))('%s', (_, attack) => {
  expect(kindsOf(findingsAfter(attack).fresh)).toEqual(attack.found);
});
