import type { Gfn } from '@heki/physical-memory';
import { CR4, EntryHigh, EntryLow } from '@heki/x86';
import { expect, test } from 'vitest';
import {
  type Attack,
  CPU_ENTRY_AREA,
  copyOfRoot,
  cpu,
  direct,
  findingsAfter,
  first,
  HOLE,
  kindsOf,
  moduleText,
  RAM,
  standingOn,
  TEXT,
  to,
  VMALLOC,
} from '../testing/attacks.ts';
import type { TamperedKernel } from '../testing/tampered-kernel.ts';

const { P, RW, US, PS } = EntryLow;
const XD = EntryHigh.XD;
const LDT = 0xffff_8800_0000_0000n;
const TEXT_FRAME = 0x1000;
const ROOT = 0x8f00;

/** A root of its own for the only CPU, with what `map` adds. */
const inOneAddressSpace = (kernel: TamperedKernel, map: (root: Gfn) => void) => {
  map(copyOfRoot(kernel, ROOT, () => {}));
  return standingOn(ROOT);
};
const userRootOf = (kernel: TamperedKernel): Gfn =>
  Number((kernel.subject().cpus[0]?.cr3 ?? 0n) >> 12n) as Gfn;

/** Leads an entry to `table`, with all rights. */
const toTable =
  (table: number) =>
  (entry: { low: number; high: number }): void => {
    entry.low = table * 4096 + 0x67;
    entry.high = 0;
  };

const ATTACKS: readonly Attack[] = [
  {
    name: "user mode's half that leads out of the dump",
    tamper: (kernel) => inOneAddressSpace(kernel, (root) => kernel.edit(0n, 4, toTable(0x9_0000), root)),
    found: ['high heki/tables-absent'],
  },
  {
    name: "all memory a second time in one CPU's address space, by an entry that leads to the direct map's own table",
    tamper: (kernel) =>
      inOneAddressSpace(kernel, (root) => {
        const upper = 0x8e00 as Gfn;
        const start = direct(kernel, 0);
        let below = 0;
        kernel.edit(start, 4, (entry) => {
          kernel.fill(upper, Uint32Array.from(kernel.memory.page((entry.low >>> 12) as Gfn) ?? []));
        });
        kernel.edit(start, 4, toTable(upper), root);
        kernel.edit(start, 3, ({ low }) => {
          below = low >>> 12;
        });
        kernel.edit(start + (100n << 30n), 3, toTable(below), root);
      }),
    found: ['critical heki/kernel-half-differs'],
  },
  {
    name: 'text, writable, in a hole of one address space',
    tamper: (kernel) =>
      inOneAddressSpace(kernel, (root) => kernel.map(HOLE, TEXT_FRAME, { low: P | RW, high: XD, root })),
    found: ['critical heki/kernel-half-differs'],
  },
  {
    name: 'text, writable, where one process has its LDT',
    tamper: (kernel) =>
      inOneAddressSpace(kernel, (root) => kernel.map(LDT, TEXT_FRAME, { low: P | RW, high: XD, root })),
    found: ['critical heki/kernel-half-differs'],
  },
  {
    name: 'nothing: an LDT as Linux maps it',
    tamper: (kernel) => inOneAddressSpace(kernel, (root) => kernel.map(LDT, RAM, { low: P, high: XD, root })),
    found: [],
  },
  {
    name: "text that leads elsewhere in one CPU's address space alone",
    tamper: (kernel) =>
      inOneAddressSpace(kernel, (root) => {
        const upper = [0x8e00, 0x8e01, 0x8e02] as const;
        let table: number = root;
        for (const [level, at] of [
          [4, upper[0]],
          [3, upper[1]],
        ] as const) {
          kernel.edit(
            TEXT,
            level,
            (entry) => {
              kernel.fill(at as Gfn, Uint32Array.from(kernel.memory.page((entry.low >>> 12) as Gfn) ?? []));
              to(at)(entry);
            },
            root,
          );
          table = at;
        }
        expect(table).toBe(upper[1]);
        kernel.edit(TEXT + 0x20_0000n, 2, to(0x1000), root);
      }),
    found: ['critical heki/kernel-half-differs'],
  },
  {
    name: "text, writable for the kernel, in user mode's half",
    tamper: (kernel) =>
      inOneAddressSpace(kernel, (root) =>
        kernel.map(0x40_0000n, TEXT_FRAME, { low: P | RW, high: XD, root }),
      ),
    found: ['critical heki/supervisor-in-user-half'],
  },
  {
    name: "a program that writes the kernel's variables",
    tamper: (kernel) =>
      inOneAddressSpace(kernel, (root) =>
        kernel.map(0x40_0000n, 0x2a10, { low: P | RW | US, high: XD, root }),
      ),
    found: ['critical heki/program-maps-kernel'],
  },
  {
    name: "a program that writes a module's variables",
    tamper: (kernel) =>
      inOneAddressSpace(kernel, (root) =>
        kernel.map(0x40_0000n, kernel.frameAt(first(kernel, 'modules', 'rw-')), {
          low: P | RW | US,
          high: XD,
          root,
        }),
      ),
    found: ['critical heki/program-maps-kernel'],
  },
  {
    name: 'a program that writes the GDT of a CPU',
    tamper: (kernel) =>
      inOneAddressSpace(kernel, (root) =>
        kernel.map(0x40_0000n, kernel.frameAt(CPU_ENTRY_AREA + 0x1000n), {
          low: P | RW | US,
          high: XD,
          root,
        }),
      ),
    found: ['critical heki/program-maps-kernel'],
  },
  {
    name: 'nothing at high, and more than nothing: a program that reads the interrupt stacks of a CPU',
    tamper: (kernel) =>
      inOneAddressSpace(kernel, (root) =>
        kernel.map(0x40_0000n, kernel.frameAt(first(kernel, 'cpu_entry_area', 'rw-')), {
          low: P | US,
          high: XD,
          root,
        }),
      ),
    least: 'medium',
    found: ['medium heki/program-maps-kernel'],
  },
  {
    name: 'nothing at high, and more than nothing: a program that reads more variables of the kernel than Linux shows',
    tamper: (kernel) =>
      inOneAddressSpace(kernel, (root) => {
        for (let page = 0; page < 9; page++) {
          kernel.map(0x40_0000n + BigInt(page) * 4096n, 0x2a80 + page, { low: P | US, high: XD, root });
        }
      }),
    least: 'low',
    found: ['medium heki/program-maps-kernel'],
  },
  {
    name: 'nothing: as many pages of variables as Linux may show, over and over, in a program',
    tamper: (kernel) =>
      inOneAddressSpace(kernel, (root) => {
        for (let page = 0; page < 40; page++) {
          kernel.map(0x40_0000n + BigInt(page) * 4096n, 0x2a80 + (page % 8), { low: P | US, high: XD, root });
        }
      }),
    least: 'low',
    found: [],
  },
  {
    name: 'nothing: init memory and encrypted variables that were freed, a page of zeros, and one of the vvar, in a program',
    tamper: (kernel) =>
      inOneAddressSpace(kernel, (root) => {
        kernel.map(0x40_0000n, 0x2e00, { low: P | RW | US, high: XD, root });
        kernel.map(0x40_2000n, 0x3603, { low: P | RW | US, high: XD, root });
        kernel.map(0x40_1000n, 0x2a11, { low: P | US, high: XD, root });
      }),
    found: [],
  },
  {
    name: "a program's page table in vmalloc",
    tamper(kernel) {
      const root = copyOfRoot(kernel, ROOT, () => {});
      kernel.map(0x40_0000n, RAM, { low: P | RW | US, high: XD, root });
      kernel.edit(VMALLOC, 1, to(ROOT));
      return standingOn(ROOT);
    },
    found: ['critical heki/page-table-alias'],
  },
  {
    name: 'CR3 of a CPU that leads out of the dump',
    tamper: () => standingOn(0xfebf0),
    found: ['high heki/tables-absent'],
  },
  {
    name: 'indirect-branch tracking switched off on one CPU of two',
    tamper: () => ({
      cpus: [
        { ...cpu, cr4: cpu.cr4 | CR4.CET },
        { ...cpu, cpu: 1 },
      ],
    }),
    found: ['high heki/protection-off'],
  },
  {
    name: 'write protection switched off on one CPU of two',
    tamper: () => ({ cpus: [cpu, { ...cpu, cpu: 1, cr0: cpu.cr0 - 0x1_0000n }] }),
    found: ['critical heki/protection-off'],
  },
  {
    name: "page-table isolation: the kernel's own table for the direct map in user mode's root",
    on: 'foreign/k61-pti-user',
    tamper(kernel) {
      const slot = 2 * Number((kernel.directMap >> 39n) & 511n);
      const page = kernel.memory.page(kernel.root);
      const entry = [page?.[slot] ?? 0, page?.[slot + 1] ?? 0];
      kernel.memory.writablePage(userRootOf(kernel))?.set(entry, slot);
    },
    found: ['high heki/user-tables-show-more'],
  },
  {
    name: "page-table isolation: one page of the direct map more in user mode's root",
    on: 'foreign/k61-pti-user',
    tamper(kernel) {
      // Another page of the table that shows the TSS.
      const root = userRootOf(kernel);
      const tss = kernel.subject().cpus[0]?.tss ?? 0n;
      const frame = kernel.frameAt(tss);
      kernel.edit(
        direct(kernel, frame + 16),
        1,
        (entry) => {
          entry.low = ((frame + 16) * 4096 + 0x163) >>> 0;
          entry.high = XD;
        },
        root,
      );
    },
    found: ['high heki/user-tables-show-more'],
  },
  {
    name: '5 levels, page-table isolation on two CPUs: a page of vmalloc in one root',
    on: 'foreign/k61-la57-pti-2cpus',
    tamper(kernel) {
      const root = Number((kernel.subject().cpus[1]?.cr3 ?? 0n) >> 12n) as Gfn;
      kernel.map(0xffa0_0000_0000_0000n, RAM, { low: P | RW, high: XD, root });
    },
    found: ['high heki/kernel-half-differs', 'high heki/user-tables-show-more'],
  },
  {
    name: 'page-table isolation: a page of the direct map is global',
    on: 'foreign/k61-pti-user',
    tamper: (kernel) =>
      void kernel.edit(direct(kernel, RAM), 'leaf', (entry) => {
        entry.low |= EntryLow.G;
      }),
    least: 'medium',
    found: ['medium heki/global-under-isolation'],
  },
  {
    name: "page-table isolation: the IDT led elsewhere in user mode's tables alone",
    on: 'foreign/k61-pti-user',
    tamper(kernel) {
      const root = userRootOf(kernel);
      // The entry area hangs from tables that both halves share: user mode's gets some of its own.
      for (const [index, level] of ([4, 3, 2] as const).entries()) {
        kernel.edit(
          CPU_ENTRY_AREA,
          level,
          (entry) => {
            const copy = (0x8e00 + index) as Gfn;
            kernel.fill(copy, Uint32Array.from(kernel.memory.page((entry.low >>> 12) as Gfn) ?? []));
            to(copy)(entry);
          },
          root,
        );
      }
      kernel.edit(CPU_ENTRY_AREA, 1, to(RAM), root);
    },
    found: ['critical heki/kernel-half-differs'],
  },
  {
    name: "page-table isolation: entry code led elsewhere in user mode's tables alone",
    on: 'foreign/k61-pti-user',
    tamper: (kernel) =>
      void kernel.edit(kernel.symbols.get('__entry_text_start') ?? 0n, 'leaf', to(RAM), userRootOf(kernel)),
    found: ['critical heki/kernel-half-differs'],
  },
  {
    name: 'memory encryption: the text without the C-bit',
    on: 'foreign/k61-epyc-sev',
    tamper: (kernel) => {
      const bit = (kernel.subject().tables.encryptionBit ?? 0) - 32;
      kernel.edit(kernel.symbols.get('_stext') ?? 0n, 'leaf', (entry) => {
        entry.high &= ~(1 << bit);
      });
      return undefined;
    },
    found: ['high heki/unencrypted'],
  },
  {
    name: 'all memory a second time, by a GiB in vmalloc',
    tamper: (kernel) => {
      kernel.map(VMALLOC + 0x80_4000_0000n, RAM, { low: P | RW, high: XD });
      kernel.edit(VMALLOC + 0x80_4000_0000n, 3, (entry) => {
        entry.low = P | RW | PS;
        entry.high = XD;
      });
    },
    found: [
      'critical heki/wx-alias',
      'critical heki/page-table-alias',
      'critical heki/idt-writable',
      'high heki/rodata-writable',
      'high heki/module-remapped',
      'high heki/vmemmap-remapped',
    ],
  },
  {
    name: 'a gate of the IDT that leads to vmalloc',
    tamper(kernel) {
      const idt = kernel.frameAt(CPU_ENTRY_AREA);
      const gates = new Uint32Array(1024);
      for (let vector = 0; vector < 256; vector++)
        gates.set([0x0010_0000, 0x8100_8e00, 0xffff_ffff, 0], 4 * vector);
      gates.set([0x0010_0000, 0x0000_8e00, 0xffff_c900, 0], 4 * 14);
      kernel.fill(idt, gates);
    },
    found: ['critical heki/idt-gate'],
  },
  {
    name: 'a gate of the IDT with another code segment',
    tamper(kernel) {
      const gates = new Uint32Array(1024);
      gates.set([0x0033_0000, 0x8100_8e00, 0xffff_ffff, 0], 4 * 14);
      kernel.fill(kernel.frameAt(CPU_ENTRY_AREA), gates);
    },
    found: ['critical heki/idt-gate'],
  },
  {
    name: "nothing: an IDT whose gates lead to the kernel's entry code, and one to what was its init text",
    tamper(kernel) {
      const gates = new Uint32Array(1024);
      gates.set([0x0010_1000, 0x81c0_8e00, 0xffff_ffff, 0], 4 * 14);
      gates.set([0x0010_40a2, 0x82e0_8e00, 0xffff_ffff, 0], 4 * 22);
      kernel.fill(kernel.frameAt(CPU_ENTRY_AREA), gates);
    },
    found: [],
  },
  ...(
    [
      ['without a memory map', ['medium heki/executable-outside-text', 'low heki/read-only-alone'], []],
      ['with one', ['high heki/read-only-alone', 'high heki/executable-outside-text'], undefined],
    ] as const
  ).map(
    ([what, found, iomem]): Attack => ({
      name: `a page of code in the direct map, in the middle of what looks like a crash kernel, ${what}`,
      tamper: (kernel) => {
        const page = new Uint32Array(1024);
        for (let slot = 0; slot < 512; slot++)
          page.set([(0x8200 + slot) * 4096 + P, slot === 100 ? 0 : XD], 2 * slot);
        kernel.fill(0x8900 as Gfn, page);
        kernel.edit(direct(kernel, 0x8200), 2, toTable(0x8900));
        return iomem && { iomem };
      },
      least: 'low',
      found,
    }),
  ),
  {
    name: 'a large page of vmalloc over the text',
    tamper(kernel) {
      kernel.map(0xffff_c9f0_0000_0000n, RAM, { low: P, high: XD });
      kernel.edit(0xffff_c9f0_0000_0000n, 2, (entry) => {
        entry.low = TEXT_FRAME * 4096 + 0x63 + PS;
        entry.high = XD;
      });
    },
    found: ['critical heki/wx-alias'],
  },
  {
    name: "a module's text, writable, in espfix, and in the region of EFI",
    tamper(kernel) {
      const frame = kernel.frameAt(moduleText(kernel));
      kernel.map(0xffff_ff00_0000_0000n, frame, { low: P | RW, high: XD });
      kernel.map(0xffff_fff0_0000_0000n, frame, { low: P | RW, high: XD });
    },
    found: ['critical heki/wx-alias', 'high heki/module-remapped'],
  },
];

test.each(ATTACKS.map((attack) => [attack.name, attack] as const))('%s', (_, attack) => {
  expect(kindsOf(findingsAfter(attack).fresh)).toEqual(attack.found);
});
