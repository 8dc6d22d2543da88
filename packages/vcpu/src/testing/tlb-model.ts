import type { Gfn, Pfn, PhysicalMemory, VirtualAddress } from '@heki/physical-memory';
import { type AccessKind, type CpuProfile, type PagingRegisters, translate } from '@heki/x86';
import type { Registers } from '../registers/registers.ts';
import type { Rights } from './second-level.ts';

/** Everything that a walk reads, as it was at one time. */
interface Version {
  readonly tables: PhysicalMemory<Pfn>;
  readonly secondLevel: ReadonlyMap<number, { readonly frame: number; readonly rights: Rights }>;
}

/** What a virtual CPU may still have cached of one page, as the first version that no flush has overtaken. */
interface Horizon {
  /** By PCID: entries that were not global. */
  readonly own: Map<number, number>;
  global: number;
}

/**
 * The slow, obvious idea of a TLB: all versions of the tables are kept, and an access is justified when a walk of *some*
 * version since the last flush would have allowed it with the registers of now. The second level is looked up in a
 * version of its own, since guest-physical mappings are flushed by other means.
 */
export class TlbModel {
  readonly #versions: Version[] = [];
  readonly #processor: CpuProfile;
  readonly #horizons = new Map<string, Horizon>();
  readonly #invept = new Map<number, number>();

  constructor(processor: CpuProfile) {
    this.#processor = processor;
  }

  /** Keeps the frames `frames` of memory, and the second level, as they are now. */
  record(memory: PhysicalMemory<Pfn>, frames: readonly number[], secondLevel: Version['secondLevel']): void {
    const copies = new Map(frames.map((frame) => [frame, Uint32Array.from(words(memory, frame))]));
    this.#versions.push({
      tables: { page: (frame) => copies.get(frame), writablePage: (frame) => copies.get(frame) },
      secondLevel: new Map(secondLevel),
    });
  }

  /** The virtual CPU dropped all of a page: of one PCID, and of global pages with `globals`. */
  flushPage(cpu: number, va: VirtualAddress, pcid: number, globals: boolean): void {
    const horizon = this.#horizon(cpu, va);
    horizon.own.set(pcid, this.#now);
    if (globals) horizon.global = this.#now;
  }

  /** The virtual CPU dropped every guest-physical mapping. */
  invept(cpu: number): void {
    this.#invept.set(cpu, this.#now);
  }

  /** The host frames that the access may reach, cached or not. Empty: it must be refused. */
  justified(
    cpu: number,
    va: VirtualAddress,
    kind: AccessKind,
    registers: Registers,
    pcid: number,
  ): Set<number> {
    const horizon = this.#horizon(cpu, va);
    const own = horizon.own.get(pcid) ?? 0;
    const frames = new Set<number>();
    for (const [index, version] of this.#versions.entries()) {
      if (index < Math.min(own, horizon.global)) continue;
      const found = this.#walk(version, va, kind, registers);
      if (found === undefined || (index < own && !(found.global && index >= horizon.global))) continue;
      for (const frame of this.#backing(cpu, found.gfn, kind, found.user)) frames.add(frame);
    }
    return frames;
  }

  get #now(): number {
    return this.#versions.length - 1;
  }

  #horizon(cpu: number, va: VirtualAddress): Horizon {
    const name = `${cpu} ${va}`;
    let horizon = this.#horizons.get(name);
    if (horizon === undefined) {
      horizon = { own: new Map(), global: 0 };
      this.#horizons.set(name, horizon);
    }
    return horizon;
  }

  #walk(
    version: Version,
    va: VirtualAddress,
    kind: AccessKind,
    registers: Registers,
  ): { gfn: number; user: boolean; global: boolean } | undefined {
    const { cr0, cr3, cr4, efer, rflags, pkru, pkrs } = registers;
    const state: PagingRegisters = { cr0, cr3, cr4, efer, rflags, pkru, pkrs };
    const mode = registers.cpl === 3 ? 'user' : 'supervisor';
    const { outcome } = translate(state, version.tables, va, { kind, mode }, this.#processor);
    if (outcome.kind !== 'mapped') return undefined;
    const { user, global } = outcome.rights;
    return { gfn: Math.floor(outcome.gpa / 4096), user, global };
  }

  #backing(cpu: number, gfn: number, kind: AccessKind, user: boolean): number[] {
    return this.#versions.slice(this.#invept.get(cpu) ?? 0).flatMap(({ secondLevel }) => {
      const entry = secondLevel.get(gfn);
      if (entry === undefined) return [];
      const { read, write, xs, xu } = entry.rights;
      const allowed = kind === 'read' ? read : kind === 'write' ? write : user ? xu : xs;
      return allowed === true ? [entry.frame] : [];
    });
  }
}

/** The words of a frame of memory. */
export function words(memory: PhysicalMemory<Pfn>, frame: number): ArrayLike<number> {
  const page = memory.page(frame as Gfn & Pfn);
  if (page === undefined) throw new Error(`no memory at frame ${frame}`);
  return page;
}
