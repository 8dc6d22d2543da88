import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  createOverlay,
  type Gfn,
  type Overlay,
  type PhysicalMemory,
  type VirtualAddress,
  virtualAddress,
} from '@heki/physical-memory';
import { parseIomem, proveKernelRoot, resolveKernelRoot } from '@heki/vmcore';
import { openVmcore } from '@heki/vmcore/node';
import { addressHigh, entryFrame, entryIndex, framesOfLevel, isLeaf, type Level } from '@heki/x86';
import type { AuditSubject } from '../audited-kernel.ts';

const folder = join(import.meta.dirname, '../../../../fixtures');

/** An entry of the kernel's page tables that a test may change. */
interface EditableEntry {
  low: number;
  high: number;
}

/** What an entry that a test makes says. */
interface MapFlags {
  readonly low: number;
  readonly high: number;
  readonly root?: Gfn;
  /** Flags of the entries above, where there are not any yet. Default: all rights. */
  readonly above?: number;
}

/** The kernel of a fixture, over which page-table entries can be changed. */
export interface TamperedKernel {
  readonly memory: Overlay<Gfn>;
  /** The fixture's. */
  readonly name: string;
  readonly symbols: ReadonlyMap<string, VirtualAddress>;
  /** Start of the direct map. */
  readonly directMap: bigint;
  readonly root: Gfn;
  /** Changes the entry of `level` on the way to `address`, or the last one. @param root default: the kernel's */
  edit(address: bigint, level: Level | 'leaf', change: (entry: EditableEntry) => void, root?: Gfn): void;
  /** The frame that `address` leads to. */
  frameAt(address: bigint): Gfn;
  /** Has a page of memory that the dump lacks. */
  fill(frame: Gfn, words: Uint32Array): void;
  /** Maps `frame` at `address` by a leaf of 4 KiB. Tables that are not there are made from `firstTable` on. */
  map(address: bigint, frame: number, flags: MapFlags): void;
  /** The kernel as it is now. */
  subject(changes?: Partial<AuditSubject>): AuditSubject;
}

interface Facts {
  readonly symbols?: Record<string, string>;
  readonly iomem?: readonly string[];
  readonly efer?: string;
  readonly vmalloc_base?: string;
  readonly vmemmap_base?: string;
}

/** `fixtures/NAME.elf.gz` with what NAME.json tells. */
function openFixture(name: string) {
  const path = join(folder, name);
  const core = openVmcore(`${path}.elf.gz`);
  const facts: Facts = existsSync(`${path}.json`) ? JSON.parse(readFileSync(`${path}.json`, 'utf8')) : {};
  const symbols = new Map(
    Object.entries(facts.symbols ?? {}).map(([symbol, address]) => [symbol, virtualAddress(BigInt(address))]),
  );
  return { core, facts, found: resolveKernelRoot(core), symbols };
}

/** What was read once: changes lie over it, and each kernel has its own. */
const fixtures = new Map<string, ReturnType<typeof openFixture>>();

/** The kernel of `fixtures/NAME.elf.gz`, with nothing changed yet. */
export function tamperedKernel(name: string): TamperedKernel {
  const fixture = fixtures.get(name) ?? openFixture(name);
  fixtures.set(name, fixture);
  const { core, facts, found, symbols } = fixture;
  const memory = createOverlay<Gfn>({ base: found.memory });
  const baseOf = (text: string | undefined) =>
    text === undefined ? undefined : virtualAddress(BigInt(text));
  const added = new Map<Gfn, Uint32Array>();
  const all: PhysicalMemory<Gfn> = {
    page: (frame) => added.get(frame) ?? memory.page(frame),
    writablePage: (frame) => added.get(frame) ?? memory.writablePage(frame),
  };
  const addressBits = addressHigh(found.encryptionBit);
  // Data pages are not in the dump: their frames are free for tables, which the direct map shows.
  let nextTable = 0x8800;
  const edit = (
    address: bigint,
    level: Level | 'leaf',
    change: (entry: EditableEntry, at: Level) => void,
    root: Gfn = found.root,
  ): void => {
    const frame = Number(BigInt.asUintN(64, address) >> 12n);
    let table = root;
    for (let at: Level = found.levels; ; at = (at - 1) as Level) {
      const page = all.page(table);
      const slot = 2 * entryIndex(frame, at);
      if (page === undefined) throw new Error(`${name} lacks the table of level ${at} at ${table}`);
      const entry = { low: page[slot] ?? 0, high: page[slot + 1] ?? 0 };
      if (at === level || (level === 'leaf' && isLeaf(entry.low, at))) {
        change(entry, at);
        all.writablePage(table)?.set([entry.low >>> 0, entry.high >>> 0], slot);
        return;
      }
      table = entryFrame(entry.low, entry.high, addressBits);
    }
  };
  return {
    memory,
    name,
    symbols,
    directMap: BigInt(found.directMap.start) << 12n,
    root: found.root,
    edit,
    frameAt(address) {
      let result = 0;
      edit(address, 'leaf', ({ low, high }, level) => {
        const span = framesOfLevel(level);
        const first = entryFrame(low, high, addressBits);
        result = first - (first % span) + (Number(BigInt.asUintN(64, address) >> 12n) % span);
      });
      return result as Gfn;
    },
    fill: (frame, words) => void added.set(frame, words),
    map(address, frame, { low, high, root, above = 0x67 }) {
      for (const level of ([5, 4, 3, 2] as const).filter((one) => one <= found.levels)) {
        edit(
          address,
          level,
          (entry) => {
            if ((entry.low & 1) !== 0) return;
            const table = nextTable++;
            added.set(table as Gfn, new Uint32Array(1024));
            entry.low = table * 4096 + above;
          },
          root,
        );
      }
      edit(
        address,
        1,
        (entry) => {
          entry.low = (frame % 2 ** 20) * 4096 + low;
          entry.high = Math.floor(frame / 2 ** 20) + high;
        },
        root,
      );
    },
    subject: (changes = {}) => ({
      tables: proveKernelRoot({
        memory: all,
        root: found.root,
        levels: found.levels,
        encryptionBit: found.encryptionBit,
      }),
      cpus: core.cpus.map(({ cr0, cr3, cr4, segments }, cpu) => ({
        cpu,
        cr0,
        cr3,
        cr4,
        idt: virtualAddress(segments.idt.base),
        gdt: virtualAddress(segments.gdt.base),
        tss: virtualAddress(segments.tr.base),
      })),
      efer: facts.efer === undefined ? undefined : BigInt(facts.efer),
      symbols,
      bases: { vmalloc: baseOf(facts.vmalloc_base), vmemmap: baseOf(facts.vmemmap_base) },
      ...(facts.iomem && { iomem: facts.iomem, memoryMap: parseIomem(facts.iomem.join('\n')) }),
      ...changes,
    }),
  };
}
