import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import {
  type Gfn,
  gfn,
  PAGE_SIZE,
  type VirtualAddress,
  type VirtualFrame,
  virtualAddress,
} from '@heki/physical-memory';
import {
  createKernelStructs,
  findKallsyms,
  type KallsymsPlace,
  readBtf,
  readKallsyms,
  readLoadedCode,
  type SymbolTable,
} from '@heki/symbols';
import {
  imageSections,
  kernelTableFrames,
  mappedFrame,
  type ProvenRoot,
  resolveKernelRoot,
  type VirtualMemory,
  type Vmcore,
  virtualMemoryOf,
  writeCore,
} from '@heki/vmcore';
import { openVmcore } from '@heki/vmcore/node';
import type { Guest, GuestFacts } from '../guest.ts';
import { smallBtf } from './small-btf.ts';
import { thinKallsyms } from './thin-kallsyms.ts';

/** The repository, seen from the compiled program. */
const FIXTURES = join(import.meta.dirname, '../../../../fixtures/symbols');
/** One symbol of so many is kept, and those by which others are found. */
const KEPT_OF = 16;
const ALWAYS_KEPT =
  /^(_text|_stext|_etext|_end|__(start|end)_rodata|__bss_st(art|op)|__st(art|op)_BTF|modules|bpf_kallsyms|phys_base|page_offset_base|vmalloc_base|vmemmap_base|vfs_read|sys_call_table|entry_SYSCALL_64)$/;
/** Modules whose symbols are kept. */
const SMALL_MODULES = ['libcrc32c', 'qemu_fw_cfg', 'nfnetlink'];
const MOST_TABLES = 4096;

/** Makes `fixtures/symbols/NAME` of the dump of a guest that told its symbols: page tables, and of the rest what readers of symbols look at. */
export function makeSymbolFixture(guest: Guest, folder: string): void {
  const dump = join(folder, guest.name);
  const core = openVmcore(join(dump, 'dump.elf'));
  const root = resolveKernelRoot(core);
  const memory = virtualMemoryOf(root);
  const place = kallsymsOf(root, memory);
  const table = readKallsyms(memory, place);
  if (typeof table === 'string') throw new Error(`kallsyms ${table}`);
  const kept = keptSymbols(table);
  const thin = thinKallsyms(memory, place, kept);
  const btf = readBtf(memory, table);
  const btfAt = table.named('__start_BTF')[0]?.address;
  if (btf === undefined || btfAt === undefined) throw new Error('no BTF in the dump');

  const pages = new Pages(root, core);
  for (const [start, bytes] of readsOf(memory, table)) pages.put(start, bytes);
  const types = smallBtf(createKernelStructs(memory, btf));
  const btfEnd = virtualAddress((table.named('__stop_BTF')[0]?.address ?? btfAt) - 1n);
  // The section keeps its length, and is zeros behind.
  for (let at = btfAt; at <= btfEnd; at = virtualAddress(at + BigInt(PAGE_SIZE) - (at % BigInt(PAGE_SIZE))))
    pages.clear(at);
  pages.put(btfAt, types);
  pages.put(thin.start, thin.bytes);
  writeFileSync(
    join(FIXTURES, `${guest.name}.elf.gz`),
    gzipSync(pages.core(core, thin.places), { level: 9 }),
  );

  const facts: GuestFacts = JSON.parse(readFileSync(join(dump, 'dump.json'), 'utf8'));
  const lines = gunzipSync(readFileSync(join(dump, 'kallsyms.gz')))
    .toString('latin1')
    .split('\n');
  const isOfSmall = (line: string) => SMALL_MODULES.some((name) => line.endsWith(`\t[${name}]`));
  const told = [...kept.map((index) => lines[index] ?? ''), ...lines.filter(isOfSmall)];
  writeFileSync(join(FIXTURES, `${guest.name}.kallsyms.gz`), gzipSync(`${told.join('\n')}\n`, { level: 9 }));
  const sections = readFileSync(join(dump, 'sections'), 'latin1').trim().split('\n').sort();
  const sidecar = {
    kernel: facts.kernel,
    cmdline: facts.cmdline,
    about: guest.about,
    made: {
      by: 'internal/guests, of a dump of a Debian kernel under QEMU TCG',
      package: `linux-image-${guest.kernel}`,
      qemuVersion: facts.qemuVersion,
      qemuCommand: facts.qemuCommand,
      edited: `page tables; of kallsyms every ${KEPT_OF}th symbol and some by name, its number and markers made anew; of BTF the structures that readers of modules ask for, described anew; of modules the bytes that are read for their parts, sections and, of ${SMALL_MODULES.join(', ')}, symbols; zeros for all else`,
    },
    told: { symbols: table.size, modules: facts.modules, sections },
  };
  writeFileSync(join(FIXTURES, `${guest.name}.json`), `${JSON.stringify(sidecar, undefined, 1)}\n`);
  core.close();
}

function kallsymsOf(root: ProvenRoot, memory: VirtualMemory): KallsymsPlace {
  const { rodata } = imageSections(root);
  const start = virtualAddress(BigInt(rodata?.start ?? 0) * BigInt(PAGE_SIZE));
  const bytes =
    rodata === undefined ? undefined : memory.read(start, (rodata.end - rodata.start) * PAGE_SIZE);
  const place = bytes === undefined ? undefined : findKallsyms(bytes, start);
  if (place === undefined) throw new Error('no kallsyms in the dump');
  return place;
}

function keptSymbols(table: SymbolTable): number[] {
  const kept: number[] = [];
  for (let index = 0; index < table.size; index++) {
    if (index % KEPT_OF === 0 || ALWAYS_KEPT.test(table.symbol(index).name)) kept.push(index);
  }
  return kept;
}

/** All that is read to tell what is loaded, but BTF. */
function readsOf(memory: VirtualMemory, table: SymbolTable): Map<VirtualAddress, Uint8Array> {
  const reads = new Map<VirtualAddress, Uint8Array>();
  const recording: VirtualMemory = {
    read(address, length) {
      const bytes = memory.read(address, length);
      const isLonger = length > (reads.get(address)?.length ?? 0);
      // BTF is the one that is long.
      if (bytes !== undefined && isLonger && length < 2 ** 20) reads.set(address, bytes.slice());
      return bytes;
    },
  };
  const loaded = readLoadedCode(recording, table);
  if (typeof loaded === 'string') throw new Error(`modules ${loaded}`);
  for (const module of loaded.modules) if (SMALL_MODULES.includes(module.name)) module.symbols.symbol(0);
  for (const name of ['page_offset_base', 'vmalloc_base', 'vmemmap_base']) {
    const at = table.named(name)[0]?.address;
    if (at !== undefined) recording.read(at, 8);
  }
  return reads;
}

/** Pages by frame: table pages as they are, others empty but for what was put there. */
class Pages {
  readonly #root: ProvenRoot;
  readonly #pages = new Map<Gfn, Uint8Array>();

  constructor(root: ProvenRoot, { cpus }: Vmcore) {
    this.#root = root;
    const roots = [root.root, ...cpus.map(({ cr3 }) => gfn(Number(cr3 / BigInt(PAGE_SIZE))))];
    for (const frame of new Set([...kernelTableFrames(root, MOST_TABLES), ...roots])) {
      const words = root.memory.page(frame);
      if (words !== undefined) this.#pages.set(frame, new Uint8Array(Uint32Array.from(words).buffer));
    }
    // Not the user's half.
    for (const frame of roots) this.#pages.get(frame)?.fill(0, 0, PAGE_SIZE / 2);
  }

  put(start: VirtualAddress, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) {
      const at = start + BigInt(done);
      const offset = Number(at % BigInt(PAGE_SIZE));
      const part = bytes.subarray(done, done + PAGE_SIZE - offset);
      this.#page(virtualAddress(at)).set(part, offset);
      done += part.length;
    }
  }

  clear(at: VirtualAddress): void {
    this.#page(at);
  }

  core({ notes, vmcoreinfo }: Vmcore, places: ReadonlyMap<string, VirtualAddress>): Buffer {
    const frames = [...this.#pages.keys()].sort((a, b) => a - b);
    const moved = notes.map((note) => {
      if (note.name !== 'VMCOREINFO' || vmcoreinfo === undefined) return note;
      const text = [...vmcoreinfo.values].map(([key, value]) => {
        const place = places.get(/^SYMBOL\((\w+)\)$/.exec(key)?.[1] ?? '');
        return `${key}=${place === undefined ? value : place.toString(16)}\n`;
      });
      return { ...note, descriptor: new Uint8Array(Buffer.from(text.join(''), 'latin1')) };
    });
    const page = (frame: Gfn) =>
      new Uint32Array((this.#pages.get(frame) ?? new Uint8Array(PAGE_SIZE)).buffer);
    return Buffer.concat([...writeCore({ notes: moved, frames, page }).chunks()]);
  }

  #page(at: VirtualAddress): Uint8Array {
    const frame = mappedFrame(this.#root, Number(at / BigInt(PAGE_SIZE)) as VirtualFrame);
    if (frame === undefined) throw new Error(`0x${at.toString(16)} is not mapped`);
    const known = this.#pages.get(frame) ?? new Uint8Array(PAGE_SIZE);
    this.#pages.set(frame, known);
    return known;
  }
}
