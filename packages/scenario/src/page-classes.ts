import { imageSections } from '@heki/linux';
import {
  type ComparedRange,
  collectiveRights,
  compareRights,
  KernelRights,
  kernelRightsText,
  type RightsComparison,
} from '@heki/machine';
import { PAGE_SIZE } from '@heki/physical-memory';
import { framesBehind, type Life } from './life.ts';

/** Pages of one kind: what the kernel's mappings allow together, and what the second level grants the kernel. */
export interface PageClass {
  readonly name: string;
  readonly pages: number;
  /** Pages by collective permission: `r-x`. */
  readonly mappings: ReadonlyMap<string, number>;
  /** Pages by the kernel's rights in the second level. */
  readonly granted: ReadonlyMap<string, number>;
  /** Pages where the second level grants writing or execution that no mapping has. */
  readonly excess: number;
  /** Pages that it lets the kernel write and execute, though no mappings allow both. */
  readonly writableAndExecutable: number;
  /** Pages where it withholds what a mapping allows: the kernel breaks there. */
  readonly withheld: number;
}

const { READ, WRITE, EXECUTE } = KernelRights;
/** What the pages of a kernel are granted: those of each kind, and all memory beside what its mappings allow. */
export interface GrantedPages {
  readonly classes: readonly PageClass[];
  readonly rights: RightsComparison;
}

/** Reads back what every page is granted now. */
export function grantedPages(life: Life): GrantedPages {
  const { kernel, memory: physicalMemory, memoryMap, virtualMachine, capabilities } = life.machine;
  const memory = [...memoryMap.entries.filter(({ type }) => type === 'ram'), ...life.plugged];
  const tables = { memory: physicalMemory, root: kernel.pageTableRoot, levels: kernel.layout.levels };
  const stretches: ComparedRange[] = [];
  const rights = compareRights({
    virtualMachine,
    capabilities,
    memory,
    mappings: collectiveRights(tables, Math.max(...memory.map(({ end }) => end))),
    visit: (stretch) => stretches.push(stretch),
  });
  return { classes: classify(life, stretches), rights };
}

/** The state of every kind of page of a kernel: the image, modules, eBPF, the trampoline, freed pages, and all other memory. */
export function pageClasses(life: Life): readonly PageClass[] {
  return grantedPages(life).classes;
}

/** @param stretches all memory, with what its mappings allow and what it is granted */
function classify(life: Life, stretches: readonly ComparedRange[]): readonly PageClass[] {
  const { kernel } = life.machine;
  const frames = stretches.reduce((most, { end }) => Math.max(most, end), 0);
  const classOf = new Uint8Array(frames);
  const names: string[] = ['other memory'];
  const add = (name: string, members: Iterable<number>): void => {
    const index = names.push(name) - 1;
    for (const frame of members) classOf[frame] = index;
  };

  const { textFrame } = kernel.layout;
  for (const [name, sections] of IMAGE_CLASSES) {
    const members = imageSections(kernel.build)
      .filter((section) => sections.includes(section.name))
      .flatMap(({ start, end }) => {
        const first = textFrame + Math.ceil(start / PAGE_SIZE);
        return Array.from(
          { length: Math.ceil(end / PAGE_SIZE) - Math.ceil(start / PAGE_SIZE) },
          (_, at) => first + at,
        );
      });
    add(name, members);
  }
  const { pages, textStart, textEnd } = kernel.build.trampoline;
  const trampoline = Array.from({ length: pages }, (_, page) => kernel.trampoline + page);
  add('trampoline text', trampoline.slice(textStart, textEnd));
  add('rest of the trampoline', [...trampoline.slice(0, textStart), ...trampoline.slice(textEnd)]);
  add(
    'plugged in',
    life.plugged.flatMap(({ start, end }) => Array.from({ length: end - start }, (_, at) => start + at)),
  );
  add('freed by modules and eBPF', life.freed);
  for (const [name, kinds] of MODULE_CLASSES) {
    const places = [...life.modules.values()].flatMap(({ memory }) =>
      [...memory].filter(([kind]) => kinds.includes(kind)).map(([, place]) => place),
    );
    add(
      name,
      places.flatMap(({ address, pages: count }) => framesBehind(life.machine, address, count)),
    );
  }
  add(
    'eBPF programs',
    [...life.programs.values()].flatMap((address) => framesBehind(life.machine, address, 1)),
  );
  add(
    'vmalloc areas',
    [...life.areas.values()].flatMap(({ address, pages: count }) =>
      framesBehind(life.machine, address, count),
    ),
  );
  add(
    'user processes',
    [...life.processes.values()].flatMap(({ areas, pageTableRoot }) =>
      Object.values(areas).flatMap(({ address, pages: count }) =>
        framesBehind(life.machine, address, count, pageTableRoot),
      ),
    ),
  );
  return tally(names, classOf, stretches);
}

const IMAGE_CLASSES: readonly [name: string, sections: readonly string[]][] = [
  ['kernel text', ['.text']],
  ['kernel rodata', ['.rodata']],
  [
    'kernel data',
    ['.data', '.smp_locks', '.data_nosave', '.bss', '.bss..decrypted', '.brk', 'end of the last 2 MiB'],
  ],
  [
    'freed parts of the image',
    ['.init', '.smp_locks', 'text/rodata gap', 'rodata/data gap', 'unused decrypted'],
  ],
];

const MODULE_CLASSES: readonly [name: string, kinds: readonly string[]][] = [
  ['module text', ['text', 'init_text']],
  ['module rodata', ['rodata', 'ro_after_init', 'init_rodata']],
  ['module data', ['data', 'init_data']],
];

function tally(
  names: readonly string[],
  classOf: Uint8Array,
  stretches: Iterable<ComparedRange>,
): PageClass[] {
  const rows = names.map((name) => ({
    name,
    pages: 0,
    mappings: new Map<string, number>(),
    granted: new Map<string, number>(),
    excess: 0,
    writableAndExecutable: 0,
    withheld: 0,
  }));
  const count = (map: Map<string, number>, rights: number, pages: number): void => {
    const letters = kernelRightsText(rights);
    map.set(letters, (map.get(letters) ?? 0) + pages);
  };
  for (const { start, end, allowed, granted } of stretches) {
    for (let frame: number = start; frame < end; ) {
      const kind = classOf[frame] ?? 0;
      let next = frame + 1;
      while (next < end && classOf[next] === kind) next++;
      const row = rows[kind];
      if (row !== undefined) {
        row.pages += next - frame;
        count(row.mappings, allowed, next - frame);
        count(row.granted, granted, next - frame);
        // A page without mappings is data: whoever maps it first may write there.
        if ((granted & ~(allowed === 0 ? READ | WRITE : allowed)) !== 0) row.excess += next - frame;
        const both = WRITE | EXECUTE;
        if ((granted & both) === both && (allowed & both) !== both) row.writableAndExecutable += next - frame;
        if ((allowed & ~granted) !== 0) row.withheld += next - frame;
      }
      frame = next;
    }
  }
  const [other, ...rest] = rows;
  return [...rest, ...(other === undefined ? [] : [other])].filter(({ pages }) => pages > 0);
}
