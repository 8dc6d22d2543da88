import { readFileSync } from 'node:fs';
import { auditKernel, type FindingKind } from '@heki/audit';
import { createOverlay, type Gfn, hex, PAGE_SIZE, virtualAddress } from '@heki/physical-memory';
import { pagingRegistersOf, parseMemoryMap, proveKernelRoot, resolveKernelRoot } from '@heki/vmcore';
import { openVmcore } from '@heki/vmcore/node';
import { EntryHigh, EntryLow, type Level, translate } from '@heki/x86';
import { once } from './once.ts';

type FindingId = FindingKind['id'];

/** The dump that the inspector opens where nothing is named: page tables and registers of a kernel without KASLR. */
const OWN_KERNEL = 'packages/vmcore/data/k61-256-nokaslr';

const DIRECT = 0xffff_8880_0000_0000n;
const TEXT = 0xffff_ffff_8100_0000n;
const CONSTANTS = 0xffff_ffff_8200_0000n;
const MODULE_TEXT = 0xffff_ffff_c000_0000n;
const VMALLOC = 0xffff_c900_0000_0000n;
const CPU_ENTRY_AREA = 0xffff_fe00_0000_0000n;
/** In the root table the first entry that no region of Linux has. */
const HOLE = 0xffff_9680_0000_0000n;
/** 2 MiB of ordinary memory that the direct map alone has. */
const RAM = 0x8000;

interface Entry {
  low: number;
  high: number;
}
/** An entry on the way to an address: that of a level, or the last. */
type Change = readonly [address: bigint, level: Level | 'leaf', change: (entry: Entry) => void];

const { P, RW, US } = EntryLow;
const writable = (entry: Entry): void => {
  entry.low |= RW;
};
const readOnly = (entry: Entry): void => {
  entry.low &= ~RW;
};
const executable = (entry: Entry): void => {
  entry.high &= ~EntryHigh.XD;
};
const notExecutable = (entry: Entry): void => {
  entry.high |= EntryHigh.XD;
};
const user = (entry: Entry): void => {
  entry.low |= US;
};
const absent = (entry: Entry): void => {
  entry.low &= ~P;
};
/** An entry that leads to `frame`; where there was none, to read and to write. */
const to =
  (frame: number) =>
  (entry: Entry): void => {
    const flags = entry.low & P ? entry.low & 0xfff : P | RW | EntryLow.A;
    entry.low = frame * PAGE_SIZE + flags;
    entry.high = entry.high & EntryHigh.XD;
  };

const toTable =
  (frame: number) =>
  (entry: Entry): void => {
    entry.low = frame * PAGE_SIZE + (P | RW | EntryLow.A);
    entry.high = 0;
  };

const kernel = once(() => {
  const core = openVmcore(`${OWN_KERNEL}.elf.gz`);
  const sidecar = readFileSync(`${OWN_KERNEL}.json`, 'utf8');
  const facts: {
    readonly symbols: Readonly<Record<string, string>>;
    readonly iomem: readonly string[];
  } = JSON.parse(sidecar);
  return {
    core,
    registers: pagingRegistersOf(core),
    tables: resolveKernelRoot(core),
    iomem: facts.iomem,
    memoryMap: parseMemoryMap(sidecar),
    symbols: new Map(
      Object.entries(facts.symbols).map(([name, address]) => [name, virtualAddress(BigInt(address))]),
    ),
  };
});

/** The entry of `level` on the way to `address`, and where it is. */
function entryAt(address: bigint, level: Level | 'leaf') {
  const { registers, core } = kernel();
  const { steps } = translate(registers, core.memory, virtualAddress(address), {
    kind: 'read',
    mode: 'supervisor',
  });
  const step = level === 'leaf' ? steps.at(-1) : steps.find((one) => one.level === level);
  if (step === undefined) throw new Error(`no entry of level ${level} leads to ${hex(address)}`);
  return step;
}
const frameAt = (address: bigint, level: Level | 'leaf' = 'leaf'): number =>
  Math.floor(entryAt(address, level).low / PAGE_SIZE) % 2 ** 20;
const direct = (frame: number): bigint => DIRECT + BigInt(frame) * BigInt(PAGE_SIZE);

/** Of each kind that page tables alone show: what an attacker, or a mistake, does to those of this kernel. */
const changes = once(
  (): Partial<Record<FindingId, readonly Change[]>> => ({
    'heki/wx-mapping': [[TEXT, 'leaf', writable]],
    'heki/wx-alias': [[direct(frameAt(TEXT)), 'leaf', writable]],
    'heki/text-writable': [
      [TEXT, 'leaf', writable],
      [TEXT, 'leaf', notExecutable],
    ],
    'heki/rodata-writable': [[CONSTANTS, 'leaf', writable]],
    'heki/image-remapped': [[TEXT, 'leaf', to(0x1400)]],
    'heki/direct-map-remapped': [[direct(RAM), 'leaf', to(RAM + 0x200)]],
    'heki/executable-outside-text': [
      [direct(frameAt(CONSTANTS)), 'leaf', readOnly],
      [direct(frameAt(CONSTANTS)), 'leaf', executable],
    ],
    'heki/code-outside-direct-map': [[direct(frameAt(MODULE_TEXT)), 'leaf', absent]],
    'heki/read-only-alone': [[MODULE_TEXT, 'leaf', to(0xfebf0)]],
    'heki/leaf-disagrees': [[TEXT, 'leaf', user]],
    'heki/user-accessible': ([4, 3, 'leaf'] as const).map((level): Change => [TEXT, level, user]),
    'heki/mapped-in-hole': [[HOLE, 4, to(frameAt(DIRECT, 4))]],
    'heki/page-table-alias': [[VMALLOC, 'leaf', to(kernel().tables.root)]],
    'heki/page-table-linked-twice': [[TEXT + 0x40_0000n, 2, toTable(frameAt(MODULE_TEXT, 2))]],
    'heki/page-table-read-only': [[direct(frameAt(VMALLOC, 2)), 'leaf', readOnly]],
    'heki/idt-writable': [[kernel().symbols.get('idt_table') ?? 0n, 'leaf', writable]],
    'heki/idt-elsewhere': [[CPU_ENTRY_AREA, 'leaf', to(RAM)]],
    'heki/gdt-writable': [[CPU_ENTRY_AREA + 0x1000n, 'leaf', writable]],
    'heki/gdt-elsewhere': [[CPU_ENTRY_AREA + 0x1000n, 'leaf', to(RAM)]],
    'heki/descriptor-tables-writable': [],
    'heki/tables-absent': [[VMALLOC, 2, to(0x9123)]],
    'heki/ram-outside-direct-map': [[direct(RAM), 'leaf', absent]],
    'heki/stale-read-only': [
      [VMALLOC, 'leaf', to(RAM)],
      [VMALLOC, 'leaf', readOnly],
    ],
    'heki/mixed-large-page': [
      [VMALLOC, 'leaf', to(RAM)],
      [VMALLOC, 'leaf', executable],
    ],
  }),
);

/** The entries that changes leave, by where they are, as an address of the inspector names them. */
function editsOf(all: readonly Change[]): ReadonlyMap<number, Entry> {
  const edits = new Map<number, Entry>();
  for (const [address, level, change] of all) {
    const { address: at, low, high } = entryAt(address, level);
    const entry = edits.get(Number(at)) ?? { low, high };
    change(entry);
    edits.set(Number(at), { low: entry.low >>> 0, high: entry.high >>> 0 });
  }
  return edits;
}

/** What the audit finds with these entries. */
function foundWith(edits: ReadonlyMap<number, Entry>): readonly string[] {
  const { core, tables, symbols, iomem, memoryMap } = kernel();
  const memory = createOverlay({ base: core.memory });
  for (const [at, { low, high }] of edits) {
    memory.writablePage(Math.floor(at / PAGE_SIZE) as Gfn)?.set([low, high], (at % PAGE_SIZE) / 4);
  }
  const { root, levels, encryptionBit } = tables;
  const { findings } = auditKernel({
    tables: proveKernelRoot({ memory, root, levels, encryptionBit }),
    symbols,
    iomem,
    memoryMap,
    cpus: core.cpus.map(({ cr0, cr3, cr4, segments: { idt, gdt, tr } }, cpu) => ({
      cpu,
      cr0,
      cr3,
      cr4,
      idt: virtualAddress(idt.base),
      gdt: virtualAddress(gdt.base),
      tss: virtualAddress(tr.base),
    })),
  });
  return findings.map(({ id }) => id);
}

/** A state of the inspector that shows a finding. */
interface FindingState {
  /** Behind the address of the page. */
  readonly route: string;
  /** How many entries of the kernel's page tables are edited. */
  readonly edited: number;
}

/**
 * A state of the inspector in which the audit of the kernel that comes with heki has this finding; `undefined` for a kind that its page
 * tables cannot show: of contents, of other address spaces and processors.
 *
 * @throws {Error} when the audit does not have it there
 */
export function inspectorState(id: FindingId): FindingState | undefined {
  const its = changes()[id];
  if (its === undefined) return undefined;
  const edits = editsOf(its);
  const there = foundWith(edits);
  if (!there.includes(id)) throw new Error(`${id}: the edits for it show ${there.join(', ')}`);
  const parameters = [...edits].map(([at, { low, high }]) => {
    const value = (BigInt(high) << 32n) + BigInt(low);
    return `&edit=${hex(at)}-${hex(value)}`;
  });
  return { route: `#memory?finding=${id}${parameters.join('')}`, edited: edits.size };
}
