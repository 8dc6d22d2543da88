import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import {
  createMemoryMap,
  type Gfn,
  gfn,
  type MemoryMap,
  type VirtualFrame,
  virtualFrame,
} from '@heki/physical-memory';
import type { KernelBuild } from '../layout/kernel-build.ts';
import { buildFromSymbols } from '../layout/kernel-build.ts';
import { type AddressLayout, createLayout } from '../layout/layout.ts';

/** Frames `start` .. `end` - 1 and what all their mappings together allow. */
export interface PermissionRange {
  readonly start: number;
  readonly end: number;
  readonly letters: string;
}

/** A leaf of a real kernel, of 4 KiB or 2 MiB, as QEMU's `info tlb` prints it. */
export interface RealLeaf {
  readonly virtualFrame: number;
  readonly guestFrame: number;
  readonly large: boolean;
  readonly writable: boolean;
  readonly executable: boolean;
}

/** A real kernel, and what a model needs to be built like it. */
export interface Fixture {
  readonly name: string;
  readonly build: KernelBuild;
  readonly layout: AddressLayout;
  readonly memoryMap: MemoryMap<Gfn>;
  readonly commandLine: string;
  readonly ranges: readonly PermissionRange[];
  readonly leaves: readonly RealLeaf[];
}

/** Where the fixtures are: the root of the repository is where tests run. */
const folder = (() => {
  for (let up = '.'; ; up = join('..', up)) {
    const path = join(up, 'fixtures');
    try {
      if (readdirSync(path).some((name) => name.endsWith('.elf.gz'))) return path;
    } catch {
      if (up.length > 30) throw new Error('no folder "fixtures" here or above');
    }
  }
})();

interface Facts {
  readonly iomem: readonly string[];
  readonly cmdline?: string;
  readonly la57: boolean;
  readonly symbols?: Readonly<Record<string, string>>;
  readonly page_offset_base?: string;
  readonly vmalloc_base?: string;
  readonly vmemmap_base?: string;
}

const readFacts = (name: string): Facts => JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8'));

/** All kernels of the stage fixtures are this one. */
const SAME_BUILD = 'k61-256-nokaslr';

export function readFixture(name: string): Fixture {
  const facts = readFacts(name);
  const symbols = facts.symbols ?? readFacts(SAME_BUILD).symbols ?? {};
  const build = buildFromSymbols('debian-6.1-cloud', symbols);
  const memoryMap = readMemoryMap(facts.iomem);
  return {
    name,
    build,
    memoryMap,
    layout: readLayout(facts, symbols, build, memoryMap),
    commandLine: facts.cmdline ?? 'nokaslr',
    ranges: readRanges(name),
    leaves: readLeaves(name),
  };
}

function readMemoryMap(iomem: readonly string[]): MemoryMap<Gfn> {
  const entries = iomem.flatMap((line) => {
    const [, from = '', to = ''] = /^([0-9a-f]+)-([0-9a-f]+) : System RAM$/.exec(line) ?? [];
    const start = Math.ceil(Number.parseInt(from, 16) / 4096);
    const end = Math.floor((Number.parseInt(to, 16) + 1) / 4096);
    return from === '' ? [] : [{ start: gfn(start), end: gfn(end), type: 'ram' as const }];
  });
  return createMemoryMap(entries);
}

function readLayout(
  facts: Facts,
  symbols: Facts['symbols'] & object,
  build: KernelBuild,
  memoryMap: MemoryMap<Gfn>,
): AddressLayout {
  const plain = createLayout({ levels: facts.la57 ? 5 : 4, build, memoryMap });
  const frame = (address: string | undefined, otherwise: VirtualFrame): VirtualFrame =>
    address === undefined ? otherwise : virtualFrame(Number(BigInt(address) >> 12n));
  const code = facts.iomem.find((line) => line.endsWith(' : Kernel code'));
  const vmalloc = frame(facts.vmalloc_base, plain.vmalloc.start);
  return {
    ...plain,
    directMap: frame(facts.page_offset_base, plain.directMap),
    vmalloc: { start: vmalloc, end: virtualFrame(vmalloc + plain.vmalloc.end - plain.vmalloc.start) },
    vmemmap: frame(facts.vmemmap_base, plain.vmemmap),
    text: frame(symbols._text, plain.text),
    textFrame: code === undefined ? plain.textFrame : gfn(Number.parseInt(code.trim(), 16) / 4096),
  };
}

function readRanges(name: string): PermissionRange[] {
  const text = readFileSync(join(folder, `${name}.ranges.txt`), 'utf8');
  return text
    .trim()
    .split('\n')
    .map((line) => {
      const [from = '', to = '', letters = ''] = line.split(' ');
      return { start: Number.parseInt(from, 16) / 4096, end: Number.parseInt(to, 16) / 4096, letters };
    });
}

/** Lines `VVVVVVVVVVVVVVVV: PPPPPPPPPPPPPPPP XGPDACTUW`. 1-GiB leaves look like those of 2 MiB. */
function readLeaves(name: string): RealLeaf[] {
  const text = gunzipSync(readFileSync(join(folder, `${name}.info-tlb.txt.gz`))).toString('utf8');
  return text
    .trim()
    .split('\n')
    .map((line) => {
      const [virtual = '', physical = '', flags = ''] = line.split(/:? /);
      return {
        virtualFrame: Number.parseInt(virtual.slice(0, 13), 16),
        guestFrame: Number.parseInt(physical.slice(0, 13), 16),
        large: flags[2] === 'P',
        writable: flags[8] === 'W',
        executable: flags[0] === '-',
      };
    });
}
