import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { type VirtualFrame, virtualAddress, virtualFrameOf } from '@heki/physical-memory';
import { readVmcore, resolveKernelRoot, type VirtualMemory, virtualMemoryOf } from '@heki/vmcore';
import { describe, expect, test } from 'vitest';
import { readBtf } from './btf/read-btf.ts';
import { readImageSymbols } from './kallsyms/image-symbols.ts';
import { createKernelNames, type Place } from './kernel-names.ts';
import { createKernelStructs } from './kernel-structs.ts';
import { type SymbolTable, symbolTableOf } from './symbol-table.ts';
import { flatMemory } from './testing/flat-memory.ts';

const FIXTURES = new URL('../../../fixtures/symbols/', import.meta.url);
const inflated = (name: string) => gunzipSync(readFileSync(new URL(name, FIXTURES)));

const byStart = (a: { readonly start: bigint }, b: { readonly start: bigint }) => Number(a.start - b.start);
const shortPlace = ({ region, module }: Place) =>
  module === undefined ? region : `${module.name} ${module.part}`;

/** `memory` with BPF code in the kernel's list of it. */
function withBpf(
  memory: VirtualMemory,
  symbols: SymbolTable,
  ranges: readonly (readonly [start: bigint, end: bigint])[],
): VirtualMemory {
  const head = symbols.named('bpf_kallsyms')[0]?.address ?? expect.unreachable();
  const structs = createKernelStructs(memory, readBtf(memory, symbols) ?? expect.unreachable());
  const size = structs.size('bpf_ksym') ?? 0;
  const offset = (member: string) => structs.offset('bpf_ksym', member) ?? expect.unreachable();
  // At an address that no kernel has, for it alone.
  const at = (index: number) => 0x1000n + BigInt(index * size);
  const node = (index: number) => (index === ranges.length ? head : at(index) + BigInt(offset('lnode')));
  const bytes = new DataView(new ArrayBuffer(size * ranges.length));
  ranges.forEach(([start, end], index) => {
    const set = (member: string, value: bigint) =>
      bytes.setBigUint64(index * size + offset(member), value, true);
    set('start', start);
    set('end', end);
    set('lnode', node(index + 1));
    bytes.setUint8(index * size + offset('name'), 0x70);
  });
  const list = flatMemory(new Uint8Array(bytes.buffer), virtualAddress(at(0)));
  const first = new Uint8Array(BigUint64Array.of(node(0)).buffer);
  return {
    read: (address, length) =>
      address === head
        ? first.slice(0, length)
        : (list.read(address, length) ?? memory.read(address, length)),
  };
}

/** Of Debian's kernels: what the guest said of itself, and where VMCOREINFO has kallsyms. */
describe.each([
  ['k510-symbols', 'structure'],
  ['k61-symbols', 'vmcoreinfo'],
  ['k612-symbols', 'vmcoreinfo'],
] as const)('the memory of %s', (name, from) => {
  const core = readVmcore(inflated(`${name}.elf.gz`));
  const root = resolveKernelRoot(core);
  const { told }: { told: { modules: string[]; sections: string[] } } = JSON.parse(
    readFileSync(new URL(`${name}.json`, FIXTURES), 'utf8'),
  );
  const own = inflated(`${name}.kallsyms.gz`).toString('latin1').trimEnd().split('\n');
  const found = readImageSymbols(root, core.vmcoreinfo);
  const symbols = typeof found === 'string' ? symbolTableOf([]) : found.table;
  const names = createKernelNames(root, { vmcoreinfo: core.vmcoreinfo, symbols });
  const loaded = typeof names.loaded === 'string' ? undefined : names.loaded;

  test('has the symbols that its own /proc/kallsyms had', () => {
    expect(found).toMatchObject({ from });
    const lines = Array.from(names.all(), ({ address, type, name: symbol, module }) =>
      [
        `${address.toString(16).padStart(16, '0')} ${type} ${symbol}`,
        ...(module === undefined ? [] : [`[${module}]`]),
      ].join('\t'),
    );
    expect(lines).toEqual(own);
  });

  test('has them by structure alone, too', () => {
    const byStructure = readImageSymbols(root, undefined);
    expect(typeof byStructure === 'string' ? byStructure : [...byStructure.table]).toEqual([...symbols]);
  });

  test('has the modules that its own /proc/modules had, where they were, with the sections of /sys/module', () => {
    const lines = loaded?.modules.map(({ name: module, parts }) => {
      const size = parts.reduce((sum, { start, end }) => sum + Number(end - start), 0);
      const base = parts.find(({ kind }) => kind === 'text')?.start ?? 0n;
      return `${module} ${size} 0x${base.toString(16)}`;
    });
    expect(lines).toEqual(told.modules.map((line) => line.replace(/^(\S+) (\S+) .* (\S+)$/, '$1 $2 $3')));
    expect(loaded?.brokenLists).toEqual([]);
    const sections = loaded?.modules.flatMap(({ name: module, sections: all }) =>
      all.map((one) => `${module}/sections/${one.name}:0x${one.address.toString(16)}`),
    );
    expect(sections?.toSorted()).toEqual(told.sections.toSorted());
  });

  test('has a name, both ways, for what is in a module, and for what the direct map shows of the image', () => {
    const symbol = names.named('crc32c', 'libcrc32c')[0] ?? names.named('libcrc32c_mod_fini')[0];
    const address = virtualAddress((symbol?.address ?? 0n) + 2n);
    expect(names.at(address)).toMatchObject({
      region: 'modules',
      module: { name: 'libcrc32c', part: 'text' },
      symbol: { offset: 2 },
    });
    const read = names.named('vfs_read')[0]?.address ?? 0n;
    const { start } = root.directMap;
    const frame = Number(read >> 12n) - names.sections.distance;
    const alias = virtualAddress((BigInt(start + frame) << 12n) + (read & 0xfffn) + 4n);
    expect(names.at(alias)).toMatchObject({
      region: 'direct map',
      alias: {
        address: read + 4n,
        place: { region: 'kernel text', symbol: { symbol: { name: 'vfs_read' }, offset: 4 } },
      },
    });
  });

  // The description of types in that fixture gives the name of BPF code more letters than the structure has bytes.
  test.skipIf(name === 'k510-symbols')(
    'has the same places page by page as byte by byte, also where BPF code begins amid a page of a large one',
    () => {
      const parts = (loaded?.modules ?? []).flatMap(({ parts: all }) => all).toSorted(byStart);
      const last = parts.at(-1)?.end ?? 0n;
      const pack = (last + 0x20_0000n) & ~0x1f_ffffn;
      const memory = withBpf(virtualMemoryOf(root), symbols, [
        [pack + 0x40n, pack + 0x100n],
        [pack + 0x140n, pack + 0x200n],
        [pack + 0x3fc0n, pack + 0x50c0n],
        [pack + 0x8100n, pack + 0x9000n],
      ]);
      const named = createKernelNames(root, { symbols, memory });
      const start = virtualFrameOf(parts[0]?.start ?? virtualAddress(0n));
      const end = (virtualFrameOf(virtualAddress(pack)) + 512) as VirtualFrame;
      const told = Array.from(named.pagesByPlace(start, end)).flatMap((pages) =>
        Array.from({ length: pages.end - pages.start }, () => shortPlace(pages.place)),
      );
      const expected = Array.from({ length: end - start }, (_, index) => {
        const base = BigInt(start + index) * 4096n;
        // The JIT puts programs at multiples of 64 bytes.
        const held = Array.from({ length: 64 }, (__, at) => named.at(virtualAddress(base + BigInt(at * 64))));
        return shortPlace(held.find(({ region }) => region === 'BPF') ?? held[0] ?? expect.unreachable());
      });
      expect(told).toEqual(expected);
      expect(told.filter((place) => place === 'BPF').length).toBe(5);
    },
  );

  test('calls an address that is in neither half what it is', () => {
    const regions = [0x7fff_ffff_f000n, 0x8000_0000_0000n, 0xffff_7fff_ffff_ffffn, 0xffff_8000_0000_0000n];
    expect(regions.map((address) => names.at(virtualAddress(address)).region)).toEqual([
      'user',
      'non-canonical',
      'non-canonical',
      'hole',
    ]);
  });

  test('tells of a list that does not come back to its head', () => {
    // Eight bytes on, the head is what leads backwards: the list never meets it.
    const astray = Array.from(symbols, (one) =>
      one.name === 'modules' ? { ...one, address: virtualAddress(one.address + 8n) } : one,
    );
    const { loaded: read } = createKernelNames(root, { symbols: symbolTableOf(astray) });
    expect(typeof read === 'string' ? read : read.brokenLists.map(({ name }) => name)).toContain('modules');
  });
});
