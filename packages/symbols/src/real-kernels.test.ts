import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { virtualAddress } from '@heki/physical-memory';
import { readVmcore, resolveKernelRoot } from '@heki/vmcore';
import { describe, expect, test } from 'vitest';
import { readImageSymbols } from './kallsyms/image-symbols.ts';
import { createKernelNames } from './kernel-names.ts';
import { symbolTableOf } from './symbol-table.ts';

const FIXTURES = new URL('../../../fixtures/symbols/', import.meta.url);
const inflated = (name: string) => gunzipSync(readFileSync(new URL(name, FIXTURES)));

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

  test('tells of a list that does not come back to its head', () => {
    // Eight bytes on, the head is what leads backwards: the list never meets it.
    const astray = Array.from(symbols, (one) =>
      one.name === 'modules' ? { ...one, address: virtualAddress(one.address + 8n) } : one,
    );
    const { loaded: read } = createKernelNames(root, { symbols: symbolTableOf(astray) });
    expect(typeof read === 'string' ? read : read.brokenLists).toContain('modules');
  });
});
