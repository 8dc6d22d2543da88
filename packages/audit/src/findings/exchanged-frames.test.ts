import type { Gfn, VirtualFrame } from '@heki/physical-memory';
import { CR4, EntryHigh, EntryLow } from '@heki/x86';
import { expect, test } from 'vitest';
import { type AuditSubject, auditKernel } from '../index.ts';
import { type Attack, findingsAfter, first, kindsOf, soundAudit, to } from '../testing/attacks.ts';
import type { TamperedKernel } from '../testing/tampered-kernel.ts';

const { P, RW, US } = EntryLow;
const XD = EntryHigh.XD;
const RW_DATA = 0x63;

/** The first address of a region of a kernel whose KASLR moved it. */
function startOf(kernel: TamperedKernel, region: string): bigint {
  const found = soundAudit(kernel).kernel.mappings.find((one) => one.region === region);
  return BigInt(found?.virtualFrame ?? 0) << 12n;
}

/** Gives the first 2 MiB of vmemmap a table of their own, and has `change` write entries of it. */
function splitVmemmap(kernel: TamperedKernel, change: (page: Uint32Array, frame: number) => void): undefined {
  const start = startOf(kernel, 'vmemmap');
  const frame = kernel.frameAt(start);
  const page = new Uint32Array(1024);
  for (let slot = 0; slot < 512; slot++) page.set([(frame + slot) * 4096 + RW_DATA, XD], 2 * slot);
  change(page, frame);
  kernel.fill(0x8800 as Gfn, page);
  kernel.edit(start, 2, (entry) => {
    entry.low = 0x880_0063;
    entry.high = 0;
  });
}

/** As HugeTLB leaves the account of a huge page: seven pages lead to the first, and cannot be written. */
function optimizeFirstHugePage(page: Uint32Array, frame: number): void {
  for (let slot = 1; slot < 8; slot++) page.set([frame * 4096 + 0x61, XD], 2 * slot);
}

function doubleModuleData(kernel: TamperedKernel): undefined {
  const all = pagesOf(kernel, 'modules', RW_BITS);
  kernel.edit(all.at(-1) ?? 0n, 1, to(kernel.frameAt(all[0] ?? 0n)));
}

/** Lets the kernel execute a program in whose address space the first CPU stands. */
function executeProgram(kernel: TamperedKernel): undefined {
  const [cpu] = kernel.subject().cpus;
  const pair = Number((cpu?.cr3 ?? 0n) >> 12n);
  const root = (pair - (pair % 2)) as Gfn;
  const page = kernel.memory.writablePage(root);
  for (let slot = 0; slot < 256 && page !== undefined; slot++) {
    const low = page[2 * slot] ?? 0;
    if ((low & (P | US)) === (P | US)) page[2 * slot + 1] = (page[2 * slot + 1] ?? 0) & ~XD;
  }
}

const KERNELS = [
  'k61-256-nokaslr',
  'k61-256-la57-kaslr',
  'foreign/k61-la57-pti-2cpus',
  'foreign/k612-256-kaslr',
  'foreign/k61-stock-skylake',
] as const;

const ATTACKS: readonly Attack[] = [
  ...KERNELS.flatMap((on): Attack[] => [
    {
      name: `${on}: two addresses of vmemmap lead to one frame`,
      on,
      tamper: (kernel) =>
        splitVmemmap(kernel, (page, frame) => {
          page.set([(frame + 9) * 4096 + RW_DATA, XD], 2 * 7);
        }),
      found: ['high heki/vmemmap-remapped'],
    },
    {
      name: `${on}: vmemmap leads to a stack or other memory of vmalloc`,
      on,
      tamper(kernel) {
        const frame = kernel.frameAt(first(kernel, 'vmalloc', 'rw-'));
        splitVmemmap(kernel, (page) => {
          page.set([frame * 4096 + RW_DATA, XD], 2 * 7);
        });
      },
      found: ['high heki/vmemmap-remapped'],
    },
    {
      name: `${on}: nothing: HugeTLB has freed the account of a huge page`,
      on,
      tamper: (kernel) => splitVmemmap(kernel, optimizeFirstHugePage),
      least: 'low',
      found: [],
    },
    {
      name: `${on}: the account of another page among those that HugeTLB has freed`,
      on,
      tamper: (kernel) =>
        splitVmemmap(kernel, (page, frame) => {
          optimizeFirstHugePage(page, frame);
          page.set([frame * 4096 + RW_DATA, XD], 2 * 5);
        }),
      found: ['high heki/vmemmap-remapped'],
    },
    {
      name: `${on}: the data of a module led to the data of another`,
      on,
      tamper: doubleModuleData,
      found: ['high heki/module-remapped'],
    },
    {
      name: `${on}: a page of the TSS led to ordinary memory`,
      on,
      tamper: (kernel) =>
        void kernel.edit(pagesOf(kernel, 'cpu_entry_area', P)[3] ?? 0n, 1, to(plainFrame(kernel))),
      found: ['high heki/entry-area-remapped'],
    },
    {
      name: `${on}: two stacks of exceptions exchanged`,
      on,
      tamper(kernel) {
        const [, one = 0n, other = 0n] = pagesOf(kernel, 'cpu_entry_area', RW_BITS);
        const [frame, another] = [kernel.frameAt(one), kernel.frameAt(other)];
        kernel.edit(one, 1, to(another));
        kernel.edit(other, 1, to(frame));
      },
      found: ['high heki/entry-area-remapped'],
    },
    {
      name: `${on}: a slot of the fixmap led to RAM`,
      on,
      tamper: (kernel) => void kernel.edit(startOf(kernel, 'fixmap'), 1, to(plainFrame(kernel))),
      least: 'medium',
      found: ['medium heki/fixmap-ram'],
    },
  ]),
  {
    name: 'vmemmap led to a page table',
    tamper: (kernel) =>
      splitVmemmap(kernel, (page) => {
        page.set([kernel.root * 4096 + RW_DATA, XD], 2 * 7);
      }),
    found: ['critical heki/page-table-alias', 'high heki/vmemmap-remapped'],
  },
  {
    name: 'vmemmap led to a device',
    tamper: (kernel) => void kernel.edit(startOf(kernel, 'vmemmap'), 2, to(0xfea00)),
    found: ['high heki/vmemmap-remapped'],
  },
  {
    name: 'the account of memory that nobody has',
    tamper(kernel) {
      kernel.map(startOf(kernel, 'vmemmap') + 0x4000_0000n, plainFrame(kernel), { low: RW_DATA, high: XD });
    },
    least: 'medium',
    found: ['medium heki/vmemmap-remapped'],
  },
  {
    name: 'an entry stack of one CPU led to that of the other',
    on: 'foreign/k61-la57-pti-2cpus',
    tamper(kernel) {
      const all = pagesOf(kernel, 'cpu_entry_area', RW_BITS);
      kernel.edit(all[0] ?? 0n, 1, to(kernel.frameAt(all[all.length / 2] ?? 0n)));
    },
    found: ['high heki/entry-area-remapped'],
  },
  {
    name: 'two pages of modules exchanged for each other, where the lists of vmalloc are in the dump',
    tamper(kernel) {
      const listedCode = givenOut(kernel);
      const [one = 0n, , , other = 0n] = pagesOf(kernel, 'modules', P);
      const [frame, another] = [kernel.frameAt(one), kernel.frameAt(other)];
      kernel.edit(one, 1, to(another));
      kernel.edit(other, 1, to(frame));
      return { listedCode };
    },
    found: ['high heki/vmalloc-remapped'],
  },
  {
    name: 'a page of vmalloc led to ordinary memory, where its lists are in the dump',
    tamper(kernel) {
      const listedCode = givenOut(kernel);
      kernel.edit(first(kernel, 'vmalloc', 'rw-'), 1, to(plainFrame(kernel)));
      return { listedCode };
    },
    found: ['high heki/vmalloc-remapped'],
  },
  {
    name: 'a page of vmalloc led to ordinary memory, and the list of areas broken',
    tamper(kernel) {
      const listedCode = givenOut(kernel);
      kernel.edit(first(kernel, 'vmalloc', 'rw-'), 1, to(plainFrame(kernel)));
      return { listedCode: { ...listedCode, brokenLists: ['vmap_area'] } };
    },
    found: ['high heki/vmalloc-remapped', 'high heki/unlisted-code'],
  },
  {
    name: 'a page behind what vmalloc gave out',
    tamper(kernel) {
      const listedCode = givenOut(kernel);
      kernel.map(0xffff_c9f0_0000_0000n, plainFrame(kernel), { low: RW_DATA, high: XD });
      return { listedCode };
    },
    found: ['high heki/vmalloc-remapped'],
  },
  {
    name: 'nothing: vmalloc gave out what is mapped',
    tamper: (kernel) => ({ listedCode: givenOut(kernel) }),
    found: [],
  },
  {
    name: 'nothing: areas of CPUs are allocated page by page (percpu_alloc=page), and vmalloc shows them',
    tamper(kernel) {
      const spread = plainFrame(kernel);
      const { mappings } = soundAudit(kernel).kernel;
      const [, ...entry] = mappings.filter(({ region }) => region === 'cpu_entry_area');
      for (const [index, { virtualFrame }] of entry.entries()) {
        const frame = spread + ((index * 7) % 16) * 31;
        kernel.edit(BigInt(virtualFrame) << 12n, 1, to(frame));
        kernel.map(0xffff_c9f0_0000_0000n + BigInt(index) * 4096n, frame, { low: RW_DATA, high: XD });
      }
    },
    found: [],
  },
  {
    name: 'the data of a module led to that of another',
    tamper: doubleModuleData,
    found: ['high heki/module-remapped'],
  },
  {
    name: 'the slot of an interrupt controller led to RAM',
    tamper: (kernel) => void kernel.edit(startOf(kernel, 'fixmap'), 1, to(plainFrame(kernel))),
    least: 'medium',
    found: ['medium heki/fixmap-ram'],
  },
  {
    name: 'the kernel may execute a program',
    on: 'foreign/k61-pti-user',
    tamper: executeProgram,
    least: 'medium',
    found: ['medium heki/user-half-executable'],
  },
  {
    name: 'the kernel may execute a program, and SMEP is off',
    on: 'foreign/k61-pti-user',
    tamper(kernel) {
      executeProgram(kernel);
      return { cpus: kernel.subject().cpus.map((one) => ({ ...one, cr4: one.cr4 & ~CR4.SMEP })) };
    },
    found: ['high heki/user-half-executable'],
  },
  {
    name: 'constants of a module behind those of the image, where memory was freed: permissions do not tell',
    tamper(kernel) {
      const unnamed = { symbols: new Map(), iomem: [] };
      const { sections } = auditKernel(kernel.subject(unnamed)).kernel;
      const last = Number(sections.rodata?.end ?? 0) - 1 - sections.distance;
      kernel.map(0xffff_ffff_c100_0000n, last, { low: P, high: XD });
      return unnamed;
    },
    least: 'medium',
    found: ['medium heki/module-remapped'],
  },
];

const RW_BITS = P | RW;

/** The lists of a sound kernel that gave out all of vmalloc and modules that is mapped, in pieces of pages behind each other. */
function givenOut(kernel: TamperedKernel): NonNullable<AuditSubject['listedCode']> {
  const areas: { start: VirtualFrame; end: VirtualFrame; isModule: boolean; frames: Gfn[] }[] = [];
  for (const { region, virtualFrame, guestFrame, level } of soundAudit(kernel).kernel.mappings) {
    if ((region !== 'vmalloc' && region !== 'modules') || level > 1) continue;
    const end = (virtualFrame + 1) as VirtualFrame;
    const last = areas.at(-1);
    if (last?.end === virtualFrame) {
      last.end = end;
      last.frames.push(guestFrame);
    } else areas.push({ start: virtualFrame, end, isModule: region === 'modules', frames: [guestFrame] });
  }
  return { ranges: areas, areas };
}

/** A frame of ordinary RAM, which nothing but the direct map shows. */
function plainFrame(kernel: TamperedKernel): number {
  const { extents } = soundAudit(kernel).kernel;
  const found = extents.find(
    ({ start, end, mappings }) => start >= 0x4000 && end - start >= 1024 && mappings.length === 1,
  );
  return (found?.start ?? 0) + 512;
}

/** Addresses of the 4-KiB pages of a region whose leaf has these of P and R/W. */
function pagesOf(kernel: TamperedKernel, region: string, bits: number): bigint[] {
  return soundAudit(kernel)
    .kernel.mappings.filter((one) => one.region === region && one.level === 1 && (one.low & RW_BITS) === bits)
    .map(({ virtualFrame }) => BigInt(virtualFrame) << 12n);
}

test.each(ATTACKS.map((attack) => [attack.name, attack] as const))('%s', (_, attack) => {
  expect(kindsOf(findingsAfter(attack).fresh)).toEqual(attack.found);
});
