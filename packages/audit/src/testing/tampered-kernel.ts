import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  createOverlay,
  type Gfn,
  type Overlay,
  type VirtualAddress,
  virtualAddress,
} from '@heki/physical-memory';
import { parseIomem, proveKernelRoot, resolveKernelRoot } from '@heki/vmcore';
import { openVmcore } from '@heki/vmcore/node';
import { entryFrame, entryIndex, isLeaf, type Level } from '@heki/x86';
import type { AuditSubject } from '../audited-kernel.ts';

const folder = join(import.meta.dirname, '../../../../fixtures');

/** An entry of the kernel's page tables that a test may change. */
interface EditableEntry {
  low: number;
  high: number;
}

/** The kernel of a fixture, over which page-table entries can be changed. */
export interface TamperedKernel {
  readonly memory: Overlay<Gfn>;
  readonly symbols: ReadonlyMap<string, VirtualAddress>;
  /** Start of the direct map. */
  readonly directMap: bigint;
  /** Changes the entry of `level` on the way to `address`, or the last one. */
  edit(address: bigint, level: Level | 'leaf', change: (entry: EditableEntry) => void): void;
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

/** Opens `fixtures/NAME.elf.gz` with what NAME.json tells. */
export function tamperedKernel(name: string): TamperedKernel {
  const path = join(folder, name);
  const core = openVmcore(`${path}.elf.gz`);
  const facts: Facts = existsSync(`${path}.json`) ? JSON.parse(readFileSync(`${path}.json`, 'utf8')) : {};
  const found = resolveKernelRoot(core);
  const memory = createOverlay<Gfn>({ base: found.memory });
  const symbols = new Map(
    Object.entries(facts.symbols ?? {}).map(([symbol, address]) => [symbol, virtualAddress(BigInt(address))]),
  );
  const baseOf = (text: string | undefined) =>
    text === undefined ? undefined : virtualAddress(BigInt(text));
  return {
    memory,
    symbols,
    directMap: BigInt(found.directMap.start) << 12n,
    edit(address, level, change) {
      const frame = Number(BigInt.asUintN(64, address) >> 12n);
      let table = found.root;
      for (let at: Level = found.levels; ; at = (at - 1) as Level) {
        const page = memory.page(table);
        const slot = 2 * entryIndex(frame, at);
        if (page === undefined) throw new Error(`${name} lacks the table of level ${at} at ${table}`);
        const entry = { low: page[slot] ?? 0, high: page[slot + 1] ?? 0 };
        if (at === level || (level === 'leaf' && isLeaf(entry.low, at))) {
          change(entry);
          memory.writablePage(table)?.set([entry.low, entry.high], slot);
          return;
        }
        table = entryFrame(entry.low, entry.high);
      }
    },
    subject: (changes = {}) => ({
      tables: proveKernelRoot({
        memory,
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
      })),
      efer: facts.efer === undefined ? undefined : BigInt(facts.efer),
      symbols,
      bases: { vmalloc: baseOf(facts.vmalloc_base), vmemmap: baseOf(facts.vmemmap_base) },
      ...(facts.iomem && { iomem: facts.iomem, memoryMap: parseIomem(facts.iomem.join('\n')) }),
      ...changes,
    }),
  };
}
