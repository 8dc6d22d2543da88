import { gfn } from '@heki/physical-memory';
import { CR0, CR4, EFER } from '@heki/x86';
import { describe, expect, it } from 'vitest';
import { assumedRegistersOf, pagingRegistersOf, registersOn } from './paging-registers.ts';
import { buildCore, qemuNote } from './testing/build-core.ts';
import { readVmcore } from './vmcore.ts';

/** A core with tables at frames 1 to 6, in which `entries` are set: frame, index, value. */
function coreWith(entries: [number, number, bigint][], ...control: Parameters<typeof qemuNote>) {
  const bytes = new Uint8Array(6 * 4096);
  const view = new DataView(bytes.buffer);
  for (const [frame, index, value] of entries) view.setBigUint64((frame - 1) * 4096 + index * 8, value, true);
  const info = 'SYMBOL(swapper_pg_dir)=ffffffff80002000\nNUMBER(phys_base)=0\n';
  return readVmcore(
    buildCore({
      notes: [qemuNote(...control), { name: 'VMCOREINFO', descriptor: new TextEncoder().encode(info) }],
      loads: [{ address: 0x1000, bytes }],
    }),
  );
}

describe('the paging registers of a dump', () => {
  const XD = 1n << 63n;

  it('have NXE when a present entry under CR3 has bit 63', () => {
    const withoutXd = coreWith([
      [1, 256, 0x2003n],
      [2, 0, 0x1003n],
      [2, 1, 0xe3n],
      [2, 2, XD],
    ]);
    expect(pagingRegistersOf(withoutXd).efer).toBe(EFER.SCE | EFER.LME | EFER.LMA);
    const withXd = coreWith([
      [1, 256, 0x2003n],
      [2, 0, 0x3003n],
      [3, 7, 0x4003n],
      [4, 511, XD | 0x1n],
    ]);
    expect(pagingRegistersOf(withXd).efer).toBe(EFER.SCE | EFER.LME | EFER.LMA | EFER.NXE);
  });

  it('have NXE when bit 63 is in a last entry of five levels only', () => {
    const core = (last: bigint) =>
      coreWith(
        [
          [1, 256, 0x2003n],
          [2, 0, 0x3003n],
          [3, 0, 0x4003n],
          [4, 0, 0x5003n],
          [5, 9, last],
        ],
        { cr4: 0x1020n },
      );
    expect(pagingRegistersOf(core(XD | 0x6001n)).efer & EFER.NXE).toBe(EFER.NXE);
    expect(pagingRegistersOf(core(0x6001n)).efer & EFER.NXE).toBe(0n);
  });

  it('that go with tables have NXE when an entry of those has bit 63, whatever the CPU stands on', () => {
    const entries: [number, number, bigint][] = [
      [1, 256, 0x2003n],
      [3, 256, XD | 0x4003n],
    ];
    const core = coreWith(entries);
    const nxe = (root: number): bigint =>
      registersOn(core, { memory: core.memory, root: gfn(root), levels: 4 }).efer & EFER.NXE;
    expect([1, 3].map(nxe)).toEqual([0n, EFER.NXE]);
    const elsewhere = coreWith(entries, { cr3: 0x7777_7000n });
    expect(registersOn(elsewhere, { memory: core.memory, root: gfn(3), levels: 4 }).efer & EFER.NXE).toBe(
      EFER.NXE,
    );
  });

  it.each([4, 5] as const)(
    'of a dump without control registers are those of Linux on its %d-level tables',
    (levels) => {
      const core = coreWith([
        [3, 256, 0x4003n],
        [4, 0, 0x5003n],
        [5, 1, XD | 0xe3n],
      ]);
      const tables = (root: number) => ({ memory: core.memory, root: gfn(root), levels });
      const expected = {
        cr0: CR0.PE | CR0.MP | CR0.ET | CR0.NE | CR0.WP | CR0.AM | CR0.PG,
        cr3: 0x3000n,
        cr4: CR4.PAE | (levels === 5 ? CR4.LA57 : 0n),
        efer: EFER.SCE | EFER.LME | EFER.LMA | EFER.NXE,
        rflags: 2n,
        pkru: 0,
        pkrs: 0,
      };
      expect(assumedRegistersOf(core, tables(3))).toEqual(expected);
      const withoutXd = { ...expected, cr3: 0x1000n, efer: expected.efer & ~EFER.NXE };
      expect(assumedRegistersOf(core, tables(1))).toEqual(withoutXd);
    },
  );

  it('that go with tables are of a CPU that walks as many levels', () => {
    const notes = [
      qemuNote({ cr0: 0x10n }),
      qemuNote({ cr3: 0x5000n, cr4: 0x1020n }),
      qemuNote({ cr3: 0x6000n }),
    ];
    const { memory, ...core } = readVmcore(buildCore({ notes }));
    const tables = (levels: 4 | 5) => ({ memory, root: gfn(1), levels });
    expect(registersOn({ ...core, memory }, tables(4)).cr3).toBe(0x6000n);
    expect(registersOn({ ...core, memory }, tables(5)).cr3).toBe(0x5000n);
    const [, five] = core.cpus;
    const lone = { ...core, memory, cpus: five === undefined ? [] : [five] };
    expect(() => registersOn(lone, tables(4))).toThrow(
      "the kernel's page tables have 4 levels, and no CPU of the dump walks so many: CPU 0 has CR4 0x1020",
    );
  });

  it('do not depend on what lies in pages that are mapped', () => {
    // Page 5 is data that looks like a table: of a page of 4 KiB, and where a large one begins.
    for (const entries of [
      [
        [3, 0, 0x4003n],
        [4, 0, 0x5003n],
      ],
      [[3, 0, 0x5083n]],
      [[2, 1, 0x5083n]],
    ] as const) {
      const core = coreWith([
        [1, 256, 0x2003n],
        [2, 0, 0x3003n],
        ...entries.map(([frame, index, value]): [number, number, bigint] => [frame, index, value]),
        [5, 0, XD | 0x6001n],
      ]);
      expect(pagingRegistersOf(core).efer & EFER.NXE).toBe(0n);
    }
  });

  it('are found even when the tables run in circles or out of the dump', () => {
    const core = coreWith([
      [1, 0, 0x1003n],
      [1, 1, 0x2003n],
      [2, 0, 0x1003n],
      [2, 1, 0xffff_ffff_f003n],
    ]);
    expect(pagingRegistersOf(core).efer).toBe(EFER.SCE | EFER.LME | EFER.LMA);
  });

  it('cannot be told without a note of QEMU, or of a CPU that was not in long mode', () => {
    expect(() => pagingRegistersOf(coreWith([]), 1)).toThrow('no registers of CPU 1');
    expect(() => pagingRegistersOf(readVmcore(buildCore({})))).toThrow('the dump has no registers of a CPU');
    expect(() => pagingRegistersOf(coreWith([], { cr0: 0x33n }))).toThrow('expected PG and PAE');
    expect(() => pagingRegistersOf(coreWith([], { cr4: 0x10n }))).toThrow('expected PG and PAE');
  });
});
