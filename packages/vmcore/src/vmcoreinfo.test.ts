import { describe, expect, it } from 'vitest';
import { buildCore } from './testing/build-core.ts';
import { readVmcore } from './vmcore.ts';
import { parseVmcoreinfo } from './vmcoreinfo.ts';

describe('vmcoreinfo', () => {
  const text = [
    'OSRELEASE=6.1.0-test',
    'SYMBOL(swapper_pg_dir)=ffffffffa2a10000',
    'NUMBER(phys_base)=-1048576',
    'KERNELOFFSET=20000000',
    'NUMBER(pgtable_l5_enabled)=1',
    'NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-129',
    'SYMBOL(broken)=xyz',
    'no equals sign',
    '',
  ].join('\n');

  it('gives symbols as run-time addresses and numbers with their sign', () => {
    const info = parseVmcoreinfo(text);
    expect(info.release).toBe('6.1.0-test');
    expect(info.symbol('swapper_pg_dir')).toBe(0xffff_ffff_a2a1_0000n);
    expect(info.kernelOffset).toBe(0x2000_0000n);
    expect(info.number('PAGE_BUDDY_MAPCOUNT_VALUE')).toBe(-129n);
    expect(info.fiveLevel).toBe(true);
    expect(info.values.get('SYMBOL(broken)')).toBe('xyz');
  });

  it('finds the root table in physical memory, however the kernel was moved', () => {
    expect(parseVmcoreinfo(text).swapperPgDir).toBe(0x22a1_0000 - 0x10_0000);
    expect(parseVmcoreinfo('SYMBOL(swapper_pg_dir)=ffffffffa2a10000').swapperPgDir).toBe(0x22a1_0000);
    const unsigned = 'SYMBOL(swapper_pg_dir)=ffffffff82a10000\nNUMBER(phys_base)=18446744073708503040';
    expect(parseVmcoreinfo(unsigned).swapperPgDir).toBe(0x2a1_0000 - 0x10_0000);
    expect(parseVmcoreinfo('SYMBOL(swapper_pg_dir)=0\nNUMBER(phys_base)=0').swapperPgDir).toBeUndefined();
    const low = 'SYMBOL(swapper_pg_dir)=ffffffff80000000\nNUMBER(phys_base)=-4096';
    expect(parseVmcoreinfo(low).swapperPgDir).toBeUndefined();
  });

  it('is undefined for what it does not say', () => {
    const info = parseVmcoreinfo(text);
    expect(info.symbol('broken')).toBeUndefined();
    expect(info.symbol('missing')).toBeUndefined();
    expect(info.number('missing')).toBeUndefined();
    expect(parseVmcoreinfo('').fiveLevel).toBeUndefined();
    expect(readVmcore(buildCore({})).vmcoreinfo).toBeUndefined();
  });

  it('is read from its note', () => {
    const descriptor = new TextEncoder().encode(`${text}\0\0`);
    const { vmcoreinfo } = readVmcore(buildCore({ notes: [{ name: 'VMCOREINFO', descriptor }] }));
    expect([...(vmcoreinfo?.values ?? [])]).toEqual([...parseVmcoreinfo(text).values]);
  });

  it('is believed of several notes if they say the same, but for when the kernel crashed', () => {
    const notes = (...texts: readonly string[]) =>
      readVmcore(
        buildCore({
          notes: texts.map((one) => ({ name: 'VMCOREINFO', descriptor: new TextEncoder().encode(one) })),
        }),
      );
    const same = notes(text, `${text}\0`, `CRASHTIME=1795000000\n${text}`);
    expect([same.vmcoreinfo?.release, same.warnings]).toEqual(['6.1.0-test', []]);
    for (const other of [text.replace('6.1.0', '6.1.1'), 'CRASHTIME=1\n']) {
      const different = notes(other, text);
      expect(different.vmcoreinfo).toBeUndefined();
      expect(different.warnings.map(({ id }) => id)).toEqual(['vmcoreinfo-differs']);
    }
  });
});
