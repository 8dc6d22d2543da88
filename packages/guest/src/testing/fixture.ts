import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { FrameRange, Gfn, PhysicalMemory } from '@heki/physical-memory';
import type { PagingLevels } from '@heki/x86';

/** The page tables of a real kernel, and what is known about it. */
export interface Fixture {
  readonly tables: {
    readonly memory: PhysicalMemory<Gfn>;
    readonly root: Gfn;
    readonly levels: PagingLevels;
  };
  /** Everything below the end of the last System RAM. */
  readonly validFrames: readonly FrameRange<Gfn>[];
  /** System RAM itself. */
  readonly ramFrames: readonly FrameRange<Gfn>[];
  /** Address of the direct map, hex with `0x`; those without KASLR need not say. */
  readonly pageOffsetBase: string;
  /** Leaves of its kernel half. */
  readonly leaves: number;
  /** What another walker found for all its mappings: frames `start` .. `end` - 1 and letters. */
  readonly ranges: readonly { readonly start: number; readonly end: number; readonly letters: string }[];
}

/** Where the fixtures are: the root of the repository is where tests and benchmarks run. */
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

/** Names of all fixtures. */
export const fixtureNames: readonly string[] = readdirSync(folder)
  .filter((name) => name.endsWith('.elf.gz'))
  .map((name) => name.slice(0, -'.elf.gz'.length));

/** Reads a fixture; of its ELF core only as much as a well-formed one needs. */
export function readFixture(name: string): Fixture {
  const bytes = new Uint8Array(gunzipSync(readFileSync(join(folder, `${name}.elf.gz`))));
  const view = new DataView(bytes.buffer);
  const pages = new Map<number, Uint32Array>();
  const headers = Number(view.getBigUint64(32, true));
  for (let index = 0; index < view.getUint16(56, true); index++) {
    const header = headers + index * 56;
    if (view.getUint32(header, true) !== 1) continue;
    const offset = Number(view.getBigUint64(header + 8, true));
    const address = Number(view.getBigUint64(header + 24, true));
    const size = Number(view.getBigUint64(header + 32, true));
    for (let at = 0; at < size; at += 4096) {
      pages.set((address + at) / 4096, new Uint32Array(bytes.slice(offset + at, offset + at + 4096).buffer));
    }
  }
  const facts = JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8'));
  const ramFrames = (facts.iomem as string[])
    .filter((line) => /^\S.* : System RAM$/.test(line))
    .map((line) => {
      const [first = '', last = ''] = line.split('-');
      const end = Math.floor((Number.parseInt(last, 16) + 1) / 4096);
      return { start: Math.ceil(Number.parseInt(first, 16) / 4096) as Gfn, end: end as Gfn };
    });
  const end = ramFrames.at(-1)?.end ?? 0;
  const text = readFileSync(join(folder, `${name}.ranges.txt`), 'utf8');
  return {
    tables: {
      memory: { page: (frame) => pages.get(frame), writablePage: (frame) => pages.get(frame) },
      root: (Number(BigInt(facts.cr3) >> 12n) & ~1) as Gfn,
      levels: facts.la57 === true ? 5 : 4,
    },
    validFrames: [{ start: 0 as Gfn, end: end as Gfn }],
    ramFrames,
    leaves: facts.kernel_leaves ?? 0,
    pageOffsetBase: facts.page_offset_base ?? '0xffff888000000000',
    ranges: text
      .trim()
      .split('\n')
      .map((line) => {
        const [from = '', to = '', letters = ''] = line.split(' ');
        return { start: Number.parseInt(from, 16) / 4096, end: Number.parseInt(to, 16) / 4096, letters };
      }),
  };
}
