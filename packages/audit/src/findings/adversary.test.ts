import { type Gfn, type VirtualFrame, virtualAddress, virtualFrameOf } from '@heki/physical-memory';
import { CR4, EntryHigh, EntryLow } from '@heki/x86';
import { expect, test } from 'vitest';
import { auditKernel, FINDING_KINDS, rightsText } from '../index.ts';
import {
  type Attack,
  CPU_ENTRY_AREA,
  copyOfRoot,
  cpu,
  direct,
  executable,
  findingsAfter,
  first,
  HOLE,
  kindsOf,
  moduleText,
  RAM,
  readOnly,
  standingOn,
  TEXT,
  to,
  user,
  VMALLOC,
  writable,
} from '../testing/attacks.ts';
import type { TamperedKernel } from '../testing/tampered-kernel.ts';

const { P, RW, US, PS } = EntryLow;
const XD = EntryHigh.XD;
const RODATA = 0xffff_ffff_8200_0000n;
const EVERYWHERE = 0x63;

/** Makes every 2-MiB leaf from `address` on a table of its own, with the same rights. */
function split(kernel: TamperedKernel, address: bigint): void {
  kernel.edit(address, 2, (entry) => {
    if ((entry.low & PS) === 0) return;
    const page = new Uint32Array(1024);
    const base = entry.low & 0xffe0_0000;
    for (let slot = 0; slot < 512; slot++) {
      page.set([((base + slot * 4096) | (entry.low & 0x7f)) >>> 0, entry.high], 2 * slot);
    }
    kernel.fill(0x8ff0 as Gfn, page);
    entry.low = 0x8ff0_063;
    entry.high = 0;
  });
}
const MODULES = {
  start: virtualFrameOf(virtualAddress(0xffff_ffff_c000_0000n)),
  end: virtualFrameOf(virtualAddress(0xffff_ffff_ff00_0000n)),
};
/** All of the modules' region is listed but for one page. */
function withoutPage(address: bigint) {
  const page = virtualFrameOf(virtualAddress(address));
  return {
    ranges: [
      { start: MODULES.start, end: page },
      { start: (page + 1) as VirtualFrame, end: MODULES.end },
    ],
  };
}

/** All of vmalloc's region in one piece, and of the modules'. */
const VMALLOC_AREA = {
  start: virtualFrameOf(virtualAddress(VMALLOC)),
  end: virtualFrameOf(virtualAddress(0xffff_e900_0000_0000n)),
  isModule: false,
};
const GIVEN_OUT = [VMALLOC_AREA, { ...MODULES, isModule: false }];
/** The same but for the page at `address`. */
function givenOutBut(address: bigint) {
  return [VMALLOC_AREA, ...withoutPage(address).ranges.map((one) => ({ ...one, isModule: true }))];
}

/** More harmless mappings of `frame`, in vmalloc, than are listed of any. */
function hideAmongMany(kernel: TamperedKernel, frame: number, low: number): void {
  for (let page = 0n; page < 70n; page++) {
    kernel.map(0xffff_c9ff_0000_0000n + page * 4096n, frame, { low, high: XD });
  }
}

const ATTACKS: readonly Attack[] = [
  {
    name: 'code where vmemmap is, behind seventy constant aliases',
    tamper(kernel) {
      split(kernel, direct(kernel, RAM));
      kernel.edit(direct(kernel, RAM), 1, readOnly);
      hideAmongMany(kernel, RAM, P);
      kernel.map(0xffff_eaff_0000_0000n, RAM, { low: P, high: 0 });
    },
    found: ['high heki/vmemmap-remapped', 'high heki/executable-outside-text'],
  },
  {
    name: 'constants of a module, written at seventy addresses',
    tamper(kernel) {
      const frame = kernel.frameAt(first(kernel, 'modules', 'r--'));
      kernel.edit(direct(kernel, frame), 1, writable);
      hideAmongMany(kernel, frame, P | RW);
    },
    found: ['high heki/rodata-writable', 'high heki/module-remapped'],
  },
  {
    name: 'code that the direct map has lost, behind seventy constant aliases',
    tamper(kernel) {
      const frame = kernel.frameAt(moduleText(kernel));
      kernel.edit(direct(kernel, frame), 1, (entry) => {
        entry.low = 0;
      });
      hideAmongMany(kernel, frame, P);
    },
    least: 'medium',
    found: ['high heki/module-remapped', 'medium heki/code-outside-direct-map'],
  },
  {
    name: "a module's text is led to a frame that the direct map shows read-only",
    tamper(kernel) {
      split(kernel, direct(kernel, RAM));
      kernel.edit(direct(kernel, RAM), 1, readOnly);
      kernel.edit(moduleText(kernel), 1, to(RAM));
    },
    found: ['high heki/read-only-alone'],
  },
  {
    name: 'the whole image is led to a copy, and the first frames become data again',
    tamper(kernel) {
      const leaves = auditKernel(kernel.subject()).kernel.mappings.filter(
        ({ region }) => region.startsWith('kernel ') && region !== 'kernel image window',
      );
      const moved = 0x9000 - 0x1000;
      for (const { virtualFrame, guestFrame, rights, frames } of leaves) {
        kernel.edit(BigInt(virtualFrame) << 12n, 'leaf', to(guestFrame + moved));
        if (rightsText(rights) === 'rw-') continue;
        for (let frame = 0; frame < frames; frame += 512) {
          kernel.edit(direct(kernel, guestFrame + frame), 'leaf', writable);
          kernel.edit(direct(kernel, guestFrame + moved + frame), 'leaf', readOnly);
        }
      }
      return { iomem: [] };
    },
    found: [
      'critical heki/image-remapped',
      'critical heki/idt-writable',
      'high heki/rodata-writable',
      'high heki/idt-elsewhere',
    ],
  },
  {
    name: "a module's code in the memory of a device",
    tamper: (kernel) => void kernel.edit(moduleText(kernel), 1, to(0xfebf0)),
    found: ['high heki/read-only-alone', 'high heki/code-outside-direct-map'],
  },
  {
    name: 'code that the direct map has lost, and that no execmem made',
    tamper(kernel) {
      split(kernel, direct(kernel, RAM));
      kernel.edit(direct(kernel, RAM), 1, (entry) => {
        entry.low = 0;
      });
      kernel.map(0xffff_ffff_c100_0000n, RAM, { low: P, high: 0 });
    },
    found: [],
  },
  {
    name: 'nothing: all code among the modules is listed',
    tamper: () => ({ listedCode: { ranges: [MODULES], areas: GIVEN_OUT } }),
    found: [],
  },
  {
    name: 'a module that took itself out of the list',
    tamper: (kernel) => ({
      listedCode: {
        ...withoutPage(moduleText(kernel)),
        areas: [VMALLOC_AREA, { ...MODULES, isModule: true }],
      },
    }),
    found: ['high heki/unlisted-code'],
  },
  {
    name: 'a module that took itself out of the list, and broke it',
    tamper: (kernel) => ({
      listedCode: {
        ...withoutPage(moduleText(kernel)),
        areas: [VMALLOC_AREA, { ...MODULES, isModule: true }],
        brokenLists: ['modules'],
      },
    }),
    found: ['high heki/unlisted-code'],
  },
  {
    name: 'code among the modules that no allocator gave out',
    tamper: (kernel) => ({
      listedCode: { ...withoutPage(moduleText(kernel)), areas: givenOutBut(moduleText(kernel)) },
    }),
    found: ['high heki/vmalloc-remapped', 'high heki/unlisted-code'],
  },
  {
    name: 'code that a driver made',
    tamper: (kernel) => ({
      listedCode: { ...withoutPage(moduleText(kernel)), areas: GIVEN_OUT },
    }),
    least: 'medium',
    found: ['medium heki/unlisted-code'],
  },
  {
    name: 'ordinary memory in a hole between regions',
    tamper: (kernel) => void kernel.map(HOLE, RAM, { low: EVERYWHERE, high: XD }),
    found: ['high heki/mapped-in-hole'],
  },
  {
    name: 'the text, writable, in a hole',
    tamper: (kernel) => void kernel.map(HOLE, 0x1000, { low: EVERYWHERE, high: XD }),
    found: ['critical heki/wx-alias', 'high heki/mapped-in-hole'],
  },
  {
    name: 'constants, writable, in the fixmap',
    tamper: (kernel) => void kernel.map(0xffff_ffff_ff50_0000n, 0x2000, { low: EVERYWHERE, high: XD }),
    found: ['high heki/rodata-writable', 'high heki/fixmap-ram'],
  },
  {
    name: "the kernel's constants, writable, in vmemmap",
    tamper: (kernel) => void kernel.map(0xffff_ea7f_0000_0000n, 0x2000, { low: EVERYWHERE, high: XD }),
    found: ['high heki/rodata-writable', 'high heki/vmemmap-remapped'],
  },
  {
    name: 'code in vmemmap',
    tamper: (kernel) => void kernel.edit(0xffff_ea00_0000_0000n, 'leaf', executable),
    found: ['critical heki/wx-mapping'],
  },
  {
    name: 'the table of another address in place of the one for text',
    tamper(kernel) {
      let table = 0;
      kernel.edit(moduleText(kernel), 2, ({ low }) => {
        table = low >>> 12;
      });
      kernel.edit(0xffff_ffff_8140_0000n, 2, (entry) => {
        entry.low = table * 4096 + 0x63;
        entry.high = 0;
      });
    },
    found: ['critical heki/image-remapped', 'high heki/read-only-alone', 'high heki/page-table-linked-twice'],
  },
  {
    name: 'pages of the direct map a second time, by one entry that leads to its table',
    tamper(kernel) {
      let table = 0;
      kernel.edit(direct(kernel, kernel.root), 2, ({ low }) => {
        table = low >>> 12;
      });
      kernel.map(HOLE, RAM, { low: EVERYWHERE, high: XD });
      kernel.edit(HOLE, 2, to(table));
    },
    found: [
      'critical heki/page-table-alias',
      'high heki/module-remapped',
      'high heki/mapped-in-hole',
      'high heki/page-table-linked-twice',
    ],
  },
  {
    name: 'an entry of the root that leads to the root',
    tamper(kernel) {
      kernel.memory.writablePage(kernel.root)?.set([kernel.root * 4096 + 0x63, XD], 2 * 300);
    },
    found: [
      'critical heki/page-table-alias',
      'critical heki/page-table-linked-twice',
      'high heki/vmemmap-remapped',
      'high heki/mapped-in-hole',
    ],
  },
  {
    name: 'a page table in the memory of a device',
    tamper(kernel) {
      kernel.fill(0xfebf1 as Gfn, new Uint32Array(1024));
      kernel.edit(VMALLOC, 3, (entry) => {
        kernel.fill(0xfebf1 as Gfn, Uint32Array.from(kernel.memory.page((entry.low >>> 12) as Gfn) ?? []));
        to(0xfebf1)(entry);
      });
    },
    found: ['high heki/page-table-outside-direct-map'],
  },
  {
    name: 'the GDT, writable where GDTR has it',
    tamper: (kernel) => void kernel.edit(CPU_ENTRY_AREA + 0x1000n, 1, writable),
    found: ['high heki/gdt-writable'],
  },
  {
    name: 'the TSS, writable where TR has it',
    tamper: (kernel) => void kernel.edit(CPU_ENTRY_AREA + 0x3000n, 1, writable),
    found: ['high heki/gdt-writable'],
  },
  {
    name: 'the bitmap of I/O ports, writable behind the TSS',
    tamper: (kernel) => void kernel.edit(CPU_ENTRY_AREA + 0x6000n, 1, writable),
    found: ['high heki/gdt-writable'],
  },
  {
    name: 'GDTR that leads to vmalloc',
    tamper: () => ({ cpus: [{ ...cpu, gdt: virtualAddress(VMALLOC) }] }),
    found: ['high heki/gdt-writable', 'high heki/gdt-elsewhere'],
  },
  {
    name: 'another page for the IDT, without symbols',
    tamper(kernel) {
      kernel.edit(CPU_ENTRY_AREA, 1, to(RAM));
      split(kernel, direct(kernel, RAM));
      kernel.edit(direct(kernel, RAM), 1, readOnly);
      return { symbols: new Map(), iomem: [] };
    },
    found: ['high heki/idt-elsewhere'],
  },
  {
    name: 'a program that maps a page table of the kernel',
    tamper(kernel) {
      const root = copyOfRoot(kernel, 0x8f00, () => {});
      kernel.map(0x40_0000n, kernel.root, { low: P | RW | US, high: XD, root });
      return standingOn(root);
    },
    found: ['critical heki/program-maps-kernel'],
  },
  {
    name: 'a program that maps its own page table',
    tamper(kernel) {
      const root = copyOfRoot(kernel, 0x8f00, () => {});
      kernel.map(0x40_0000n, root, { low: P | RW | US, high: XD, root });
      return standingOn(root);
    },
    found: ['critical heki/program-maps-kernel'],
  },
  {
    name: "a program that maps the kernel's text, and one that maps its constants, to write",
    tamper(kernel) {
      const root = copyOfRoot(kernel, 0x8f00, () => {});
      kernel.map(0x40_0000n, 0x1000, { low: P | RW | US, high: XD, root });
      kernel.map(0x40_1000n, 0x2000, { low: P | RW | US, high: XD, root });
      return standingOn(root);
    },
    found: ['critical heki/program-maps-kernel'],
  },
  {
    name: 'nothing: the constants of the vDSO and ordinary memory in a program',
    tamper(kernel) {
      const root = copyOfRoot(kernel, 0x8f00, () => {});
      kernel.map(0x40_0000n, 0x2000, { low: P | US, high: 0, root });
      kernel.map(0x40_1000n, RAM, { low: P | RW | US, high: XD, root });
      return standingOn(root);
    },
    found: [],
  },
  {
    name: "code for the kernel in user mode's half",
    tamper(kernel) {
      const root = copyOfRoot(kernel, 0x8f00, () => {});
      kernel.map(0x40_0000n, RAM, { low: P | RW, high: 0, root });
      return standingOn(root);
    },
    found: ['high heki/supervisor-in-user-half'],
  },
  {
    name: 'an address space with a copy of every upper table, in which one more page can be executed',
    tamper(kernel) {
      const copyTable = (frame: number, at: number) => {
        const page = Uint32Array.from(kernel.memory.page(frame as Gfn) ?? []);
        kernel.fill(at as Gfn, page);
        return page;
      };
      const root = copyOfRoot(kernel, 0x8f00, (page) => {
        for (const slot of [273, 511]) {
          const at = 0x8e00 + slot;
          copyTable((page[2 * slot] ?? 0) >>> 12, at);
          page[2 * slot] = at * 4096 + 0x67;
        }
      });
      kernel.map(0xffff_ffff_4000_0000n, RAM, { low: P, high: 0, root });
      return standingOn(root);
    },
    found: ['high heki/kernel-half-differs'],
  },
  {
    name: "user mode's root of page-table isolation shows the direct map to programs",
    on: 'foreign/pti-user-mode',
    tamper(kernel) {
      const { cpus } = kernel.subject();
      const userRoot = Number((cpus[0]?.cr3 ?? 0n) >> 12n) as Gfn;
      kernel.map(kernel.directMap + 0x8_0000n, 0x80, { low: P | RW | US, high: XD, root: userRoot });
      for (const level of [4, 3, 2] as const)
        kernel.edit(kernel.directMap + 0x8_0000n, level, user, userRoot);
    },
    found: ['critical heki/kernel-half-differs', 'high heki/user-tables-show-more'],
  },
  {
    name: 'CR4.SMEP cleared on one CPU of two',
    on: 'foreign/k61-la57-pti-2cpus',
    tamper(kernel) {
      const [one, two] = kernel.subject().cpus;
      if (one === undefined || two === undefined) throw new Error('expected two CPUs');
      return { cpus: [one, { ...two, cr4: two.cr4 & ~CR4.SMEP }] };
    },
    found: ['high heki/protection-off'],
  },
  {
    name: '5 levels: U/S in every entry on the way to a page of the direct map',
    on: 'k61-256-la57-kaslr',
    tamper(kernel) {
      for (const level of [5, 4, 3, 2, 'leaf'] as const) kernel.edit(direct(kernel, RAM), level, user);
    },
    found: ['critical heki/user-accessible'],
  },
  {
    name: '5 levels: text led to its neighbour',
    on: 'k61-256-la57-kaslr',
    tamper: (kernel) =>
      void kernel.edit(kernel.symbols.get('_stext') ?? 0n, 2, (entry) => {
        entry.low += 0x20_0000;
      }),
    found: ['critical heki/image-remapped', 'high heki/read-only-alone'],
  },
  {
    name: '5 levels: text that the direct map lets one write',
    on: 'k61-256-la57-kaslr',
    tamper: (kernel) =>
      void kernel.edit(direct(kernel, kernel.frameAt(kernel.symbols.get('_stext') ?? 0n)), 'leaf', writable),
    found: ['critical heki/wx-alias'],
  },
  {
    name: 'a GiB of the direct map that can be executed',
    on: 'foreign/k612-8g-1g-leaves',
    tamper: (kernel) => void kernel.edit(direct(kernel, 0x14_0000), 3, executable),
    found: ['critical heki/wx-mapping'],
  },
  {
    name: 'a GiB of the direct map that leads to its neighbour',
    on: 'foreign/k612-8g-1g-leaves',
    tamper: (kernel) =>
      void kernel.edit(direct(kernel, 0x14_0000), 3, (entry) => {
        entry.low = (entry.low + 0x4000_0000) >>> 0;
      }),
    found: ['high heki/direct-map-remapped'],
  },
  {
    name: 'the text through a GiB in vmalloc',
    on: 'foreign/k612-8g-1g-leaves',
    tamper(kernel) {
      const text = kernel.frameAt(kernel.symbols.get('_stext') ?? 0n);
      const gib = text - (text % 2 ** 18);
      kernel.edit(kernel.directMap, 4, () => {});
      kernel.edit(direct(kernel, 0x20_0000 + 2 ** 18 * 12), 3, (entry) => {
        entry.low = ((gib % 2 ** 20) * 4096 + 0xe3) >>> 0;
        entry.high = Math.floor(gib / 2 ** 20) + XD;
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
    name: 'memory encryption: the text by an alias without the C-bit',
    on: 'foreign/k61-epyc-sev',
    tamper(kernel) {
      const text = kernel.frameAt(kernel.symbols.get('_stext') ?? 0n);
      kernel.map(first(kernel, 'vmalloc', 'rw-'), text, { low: EVERYWHERE, high: XD });
    },
    found: ['critical heki/wx-alias'],
  },
  {
    name: 'the real-mode trampoline has grown a page elsewhere',
    tamper: (kernel) =>
      void kernel.edit(direct(kernel, 0x50), 1, (entry) => {
        readOnly(entry);
        executable(entry);
      }),
    found: ['high heki/executable-outside-text'],
  },
  {
    name: "a module's constants through vmalloc",
    tamper(kernel) {
      const constants = kernel.frameAt(first(kernel, 'modules', 'r--'));
      kernel.edit(VMALLOC, 1, to(constants));
    },
    found: ['high heki/rodata-writable', 'high heki/module-remapped'],
  },
  {
    name: 'the data of a module can be executed',
    tamper: (kernel) => void kernel.edit(first(kernel, 'modules', 'rw-'), 1, executable),
    found: ['critical heki/wx-mapping'],
  },
  {
    name: 'the constants can be executed',
    tamper: (kernel) => void kernel.edit(RODATA, 2, executable),
    found: ['high heki/executable-outside-text'],
  },
  {
    name: 'the page behind the IDT lies in espfix, writable',
    tamper: (kernel) => {
      const idt = kernel.frameAt(CPU_ENTRY_AREA);
      kernel.map(0xffff_ff00_0000_0000n, idt, { low: EVERYWHERE, high: XD });
    },
    found: ['critical heki/idt-writable', 'high heki/rodata-writable'],
  },
  {
    name: 'text that cannot be executed, and a copy that can',
    tamper(kernel) {
      kernel.edit(TEXT, 2, (entry) => {
        entry.high |= XD;
        writable(entry);
      });
      kernel.edit(direct(kernel, 0x1000), 2, writable);
    },
    found: ['critical heki/text-writable'],
  },
  {
    name: 'an entry that leads out of the dump',
    tamper: (kernel) => void kernel.edit(VMALLOC, 2, to(0x9123)),
    found: ['high heki/tables-absent'],
  },
  {
    name: 'a CPU on page tables that have nothing of the kernel',
    tamper(kernel) {
      kernel.fill(0x8f01 as Gfn, new Uint32Array(1024));
      return standingOn(0x8f01);
    },
    least: 'medium',
    found: ['medium heki/foreign-root'],
  },
  {
    name: 'text for user mode by its leaf, and not by the entries on the way to it',
    tamper: (kernel) => void kernel.edit(TEXT, 2, user),
    least: 'low',
    found: ['low heki/leaf-disagrees'],
  },
  {
    name: 'nothing at high: less than the way to it allows, RAM that the direct map lacks, a constant alias',
    tamper(kernel) {
      kernel.edit(TEXT, 2, user);
      kernel.edit(direct(kernel, 0x8400), 2, (entry) => {
        entry.low = 0;
      });
      kernel.map(0xffff_c9ff_0000_0000n, RAM, { low: P, high: XD });
    },
    found: [],
  },
];

const seen = new Set<string>();

test.each(ATTACKS.map((attack) => [attack.name, attack] as const))('%s', (_, attack) => {
  const { all, fresh } = findingsAfter(attack);
  for (const { id } of all) seen.add(id);
  expect(kindsOf(fresh)).toEqual(attack.found);
});

test('every kind of finding has been met, but for those that tests of their own show', () => {
  const unseen = FINDING_KINDS.map(({ id }) => id).filter((id) => !seen.has(id));
  expect(unseen.sort()).toEqual([
    'heki/code-differs',
    'heki/constants-differ',
    'heki/descriptor-strange',
    'heki/entry-area-remapped',
    'heki/function-traced',
    'heki/global-under-isolation',
    'heki/idt-gate',
    'heki/idt-gate-open',
    'heki/kprobe',
    'heki/page-table-read-only',
    'heki/static-call-updated',
    'heki/tss-stack',
    'heki/unencrypted',
    'heki/user-half-executable',
  ]);
});
