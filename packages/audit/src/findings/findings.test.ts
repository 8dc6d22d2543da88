import { type Gfn, type VirtualAddress, virtualAddress } from '@heki/physical-memory';
import { proveKernelRoot } from '@heki/vmcore';
import { CR0, CR4, EFER, EntryHigh, EntryLow } from '@heki/x86';
import { describe, expect, test } from 'vitest';
import { auditKernel, FINDING_KINDS, type Finding, isAtLeast, rightsText } from '../index.ts';
import { isFresh } from '../testing/attacks.ts';
import { type TamperedKernel, tamperedKernel } from '../testing/tampered-kernel.ts';

const NAME = 'k61-256-nokaslr';
const DIRECT = 0xffff_8880_0000_0000n;
const TEXT = 0xffff_ffff_8100_0000n;
const RODATA = 0xffff_ffff_8200_0000n;
const MODULE_TEXT = 0xffff_ffff_c000_0000n;
const VMALLOC = 0xffff_c900_0000_0000n;

/** What an audit finds in the kernel that `tamper` has changed, and not in the sound one. */
function foundAfter(
  tamper: (kernel: TamperedKernel) => Parameters<TamperedKernel['subject']>[0] | undefined,
): Finding[] {
  const kernel = tamperedKernel(NAME);
  const changes = tamper(kernel);
  return auditKernel(kernel.subject(changes)).findings.filter((finding) => isFresh(finding, NAME));
}

const idsAtHigh = (findings: readonly Finding[]): string[] =>
  findings.filter(({ severity }) => isAtLeast(severity, 'high')).map(({ id }) => id);

const writable = (entry: { low: number }): void => {
  entry.low |= EntryLow.RW;
};
const executable = (entry: { high: number }): void => {
  entry.high &= ~EntryHigh.XD;
};
const executeDisabled = (entry: { high: number }): void => {
  entry.high |= EntryHigh.XD;
};
const leadingTo =
  (frame: number) =>
  (entry: { low: number; high: number }): void => {
    entry.low = ((entry.low & 0xfff) + frame * 4096) >>> 0;
    entry.high = (entry.high & EntryHigh.XD) >>> 0;
  };
/** The frame that a 4-KiB leaf at `address` leads to. */
function frameAt(kernel: TamperedKernel, address: bigint): number {
  let frame = 0;
  kernel.edit(address, 1, ({ low }) => {
    frame = low >>> 12;
  });
  return frame;
}

describe('a finding', () => {
  test('heki/wx-mapping: text that its own mapping lets one write', () => {
    const [worst] = foundAfter((kernel) => void kernel.edit(TEXT, 2, writable));
    expect(worst).toMatchObject({ id: 'heki/wx-mapping', severity: 'critical', pages: 512 });
    expect(worst?.ranges).toEqual([{ start: 0x1000, end: 0x1200 }]);
    expect(worst?.aliases.map(({ region, effective }) => `${region} ${rightsText(effective)}`)).toEqual([
      'direct map r--',
      'kernel text rwx',
    ]);
  });

  test('heki/wx-alias: text that the direct map lets one write', () => {
    const [worst] = foundAfter((kernel) => void kernel.edit(DIRECT + 0x120_0000n, 2, writable));
    expect(worst).toMatchObject({ id: 'heki/wx-alias', severity: 'critical', pages: 512 });
    expect(worst?.fingerprint).toBe('heki/wx-alias|direct map rw-, kernel text +0x200000..+0x400000 r-x');
  });

  test('heki/wx-alias: one page of a module', () => {
    const [worst] = foundAfter((kernel) => {
      const frame = frameAt(kernel, MODULE_TEXT);
      kernel.edit(DIRECT + BigInt(frame) * 4096n, 1, writable);
    });
    expect(worst).toMatchObject({ id: 'heki/wx-alias', pages: 1, severity: 'critical' });
  });

  test('heki/text-writable: text that lost its execute permission and can be written', () => {
    const [worst] = foundAfter((kernel) => {
      kernel.edit(TEXT, 2, executeDisabled);
      kernel.edit(TEXT, 2, writable);
    });
    expect(worst).toMatchObject({ id: 'heki/text-writable', severity: 'critical', pages: 512 });
  });

  test('heki/rodata-writable: constants of the image through the direct map', () => {
    const [worst] = foundAfter((kernel) => void kernel.edit(DIRECT + 0x200_0000n, 2, writable));
    expect(worst).toMatchObject({ id: 'heki/rodata-writable', severity: 'high', pages: 512 });
  });

  test('heki/rodata-writable: constants at their own address', () => {
    const [worst] = foundAfter((kernel) => void kernel.edit(RODATA, 2, writable));
    expect(worst).toMatchObject({ id: 'heki/rodata-writable', severity: 'high' });
  });

  test('heki/image-remapped: text and constants that lead elsewhere', () => {
    const text = foundAfter((kernel) => void kernel.edit(TEXT, 2, leadingTo(0x1400)));
    expect(text[0]).toMatchObject({ id: 'heki/image-remapped', severity: 'critical', pages: 512 });
    const constants = foundAfter((kernel) => void kernel.edit(RODATA, 2, leadingTo(0x2200)));
    expect(constants[0]).toMatchObject({ id: 'heki/image-remapped', severity: 'critical' });
  });

  test('heki/direct-map-remapped: an address that leads to a neighbour', () => {
    const found = foundAfter((kernel) => void kernel.edit(DIRECT + 0x800_0000n, 2, leadingTo(0x8200)));
    expect(found.map(({ id }) => id)).toContain('heki/direct-map-remapped');
  });

  test('heki/executable-outside-text: data in the direct map, and in vmalloc', () => {
    const direct = foundAfter(
      (kernel) =>
        void kernel.edit(DIRECT + 0x200_0000n, 2, (entry) => {
          entry.low &= ~EntryLow.RW;
          executable(entry);
        }),
    );
    expect(direct[0]).toMatchObject({ id: 'heki/executable-outside-text', severity: 'high', pages: 512 });
    const hypercallPage = foundAfter((kernel) => {
      const frame = frameAt(kernel, VMALLOC);
      for (const address of [VMALLOC, DIRECT + BigInt(frame) * 4096n]) {
        kernel.edit(address, 'leaf', (entry) => {
          entry.low &= ~EntryLow.RW;
        });
      }
      kernel.edit(VMALLOC, 1, executable);
    });
    expect(hypercallPage.find(({ id }) => id === 'heki/executable-outside-text')).toMatchObject({
      severity: 'high',
      pages: 1,
    });
  });

  test('heki/executable-outside-text: more pages below 1 MiB than the trampoline has', () => {
    const found = foundAfter((kernel) => {
      for (let frame = 0x20n; frame < 0x30n; frame++) {
        kernel.edit(DIRECT + frame * 4096n, 1, (entry) => {
          entry.low &= ~EntryLow.RW;
          executable(entry);
        });
      }
    });
    expect(idsAtHigh(found)).toContain('heki/executable-outside-text');
  });

  test('heki/wx-alias: the hypercall page of a guest of Hyper-V is told by its contents', () => {
    const withContents = (fill: (words: Uint32Array) => unknown) =>
      foundAfter((kernel) => {
        const frame = frameAt(kernel, VMALLOC) as Gfn;
        const words = new Uint32Array(1024);
        fill(words);
        kernel.edit(VMALLOC, 1, (entry) => {
          entry.low &= ~EntryLow.RW;
          executable(entry);
        });
        const memory = {
          page: (at: Gfn) => (at === frame ? words : kernel.memory.page(at)),
          writablePage: () => undefined,
        };
        const { root, levels } = kernel.subject().tables;
        return { tables: proveKernelRoot({ memory, root, levels }) };
      });
    for (const call of [0xc3c1_010f, 0xc3d9_010f]) {
      const [page] = withContents((words) => words.set([call]));
      expect(page).toMatchObject({ id: 'heki/wx-alias', severity: 'medium', pages: 1 });
    }
    const [empty] = withContents(() => {});
    expect(empty).toMatchObject({ id: 'heki/wx-alias', severity: 'critical' });
    const [code] = withContents((words) => words.fill(0xc3c1_010f));
    expect(code).toMatchObject({ id: 'heki/wx-alias', severity: 'critical' });
  });

  test('heki/wx-alias: a hypercall page without contents is one if who had them said so', () => {
    const told = (by: number) =>
      foundAfter((kernel) => {
        const frame = frameAt(kernel, VMALLOC);
        kernel.edit(VMALLOC, 1, (entry) => {
          entry.low &= ~EntryLow.RW;
          executable(entry);
        });
        return { hypercallPage: (frame + by) as Gfn };
      })[0];
    expect(told(0)).toMatchObject({ id: 'heki/wx-alias', severity: 'medium' });
    expect(told(1)).toMatchObject({ id: 'heki/wx-alias', severity: 'critical' });
  });

  test('heki/rodata-writable: with neither symbols nor a memory map, too', () => {
    const bare = { symbols: new Map<string, VirtualAddress>(), iomem: [] };
    const dataAlias = foundAfter((kernel) => {
      kernel.edit(DIRECT + 0x220_0000n, 2, writable);
      return bare;
    });
    expect(idsAtHigh(dataAlias)).toContain('heki/rodata-writable');
    for (const offset of [0n, 0x20_0000n, 0x40_0000n]) {
      const own = foundAfter((kernel) => {
        kernel.edit(RODATA + offset, 2, writable);
        return bare;
      });
      expect(idsAtHigh(own)).toContain('heki/rodata-writable');
    }
    const both = foundAfter((kernel) => {
      kernel.edit(RODATA, 2, writable);
      kernel.edit(DIRECT + 0x200_0000n, 2, writable);
      return bare;
    });
    expect(idsAtHigh(both)).toContain('heki/rodata-writable');
  });

  test("heki/rodata-writable: a module's constants at their own address", () => {
    const found = foundAfter((kernel) => {
      const constants = auditKernel(kernel.subject()).kernel.mappings.find(
        ({ region, rights }) => region === 'modules' && rightsText(rights) === 'r--',
      );
      kernel.edit(BigInt(constants?.virtualFrame ?? 0) << 12n, 'leaf', writable);
    });
    expect(found[0]).toMatchObject({ id: 'heki/rodata-writable', severity: 'high', pages: 1 });
  });

  test('heki/image-remapped: a foreign page in the window around the image', () => {
    const found = foundAfter((kernel) => {
      const { image } = auditKernel(kernel.subject()).kernel.sections;
      const behind = (BigInt(image.end) << 12n) + 0x40_0000n;
      kernel.edit(behind, 2, (entry) => {
        entry.low = 0x0080_01e3;
        entry.high = 0x8000_0000;
      });
    });
    expect(found[0]).toMatchObject({ id: 'heki/image-remapped', severity: 'high', pages: 512 });
  });

  test('heki/user-accessible: the address of the vsyscall page excuses no other frame, and no write', () => {
    const vsyscallTo = (frame: number, low: number, high: number) =>
      foundAfter((kernel) => {
        const at = 0xffff_ffff_ff60_0000n;
        for (const level of [4, 3, 2] as const) {
          kernel.edit(at, level, (entry) => {
            entry.low |= EntryLow.US | EntryLow.RW;
          });
        }
        kernel.edit(at, 1, (entry) => {
          entry.low = frame * 4096 + low;
          entry.high = high;
        });
      });
    const emulated = vsyscallTo(0x2000, EntryLow.P | EntryLow.US, 0x8000_0000);
    expect(idsAtHigh(emulated)).toEqual([]);
    expect(emulated.map(({ id }) => id)).toContain('heki/user-accessible');
    const foreign = vsyscallTo(0x9000, EntryLow.P | EntryLow.US, 0x8000_0000);
    expect(idsAtHigh(foreign)).toContain('heki/user-accessible');
    const written = vsyscallTo(0x3000, EntryLow.P | EntryLow.US | EntryLow.RW, 0x8000_0000);
    expect(idsAtHigh(written)).toContain('heki/user-accessible');
  });

  test('heki/user-accessible: by every level, not by the leaf alone', () => {
    const user = (entry: { low: number }): void => {
      entry.low |= EntryLow.US;
    };
    const leafOnly = foundAfter((kernel) => void kernel.edit(TEXT, 2, user));
    expect(leafOnly.map(({ id }) => id)).toEqual(['heki/leaf-disagrees']);
    const all = foundAfter((kernel) => {
      for (const level of [4, 3, 2] as const) kernel.edit(TEXT, level, user);
    });
    expect(all[0]).toMatchObject({ id: 'heki/user-accessible', severity: 'critical' });
  });

  test('heki/page-table-alias: a table in vmalloc', () => {
    const [worst] = foundAfter((kernel) => {
      const { tables } = kernel.subject();
      kernel.edit(VMALLOC, 1, leadingTo(tables.root));
    });
    expect(worst).toMatchObject({ id: 'heki/page-table-alias', severity: 'critical', pages: 1 });
  });

  test('heki/page-table-read-only: a table that the direct map cannot write', () => {
    const found = foundAfter((kernel) => {
      let table = 0;
      kernel.edit(VMALLOC, 2, ({ low }) => {
        table = low >>> 12;
      });
      kernel.edit(DIRECT + BigInt(table) * 4096n, 'leaf', (entry) => {
        entry.low &= ~EntryLow.RW;
      });
    });
    expect(found.map(({ id }) => id)).toContain('heki/page-table-read-only');
  });

  test('heki/idt-writable: the page that IDTR leads to', () => {
    const [worst] = foundAfter((kernel) => {
      const idt = kernel.symbols.get('idt_table') ?? virtualAddress(0n);
      kernel.edit(idt, 1, writable);
    });
    expect(worst).toMatchObject({ id: 'heki/idt-writable', severity: 'critical', pages: 1 });
  });

  test('heki/idt-writable: without registers, too', () => {
    const [worst] = foundAfter((kernel) => {
      kernel.edit(kernel.symbols.get('idt_table') ?? 0n, 1, writable);
      return { cpus: [] };
    });
    expect(worst).toMatchObject({ id: 'heki/idt-writable', severity: 'critical', pages: 1 });
  });

  test('heki/idt-elsewhere: elsewhere in cpu_entry_area, another page at its address, and not at all with FRED', () => {
    const AREA = 0xffff_fe00_0000_0000n;
    const cpu = { cpu: 0, cr0: CR0.PG | CR0.WP, cr4: CR4.SMEP | CR4.SMAP | CR4.UMIP };
    const beside = foundAfter(() => ({ cpus: [{ ...cpu, idt: virtualAddress(AREA + 0x1000n) }] }));
    expect(idsAtHigh(beside)).toContain('heki/idt-elsewhere');
    const swapped = foundAfter((kernel) => {
      kernel.edit(AREA, 1, (entry) => {
        leadingTo(0x2001)(entry);
      });
    });
    expect(idsAtHigh(swapped)).toContain('heki/idt-elsewhere');
    const none = virtualAddress(0n);
    expect(idsAtHigh(foundAfter(() => ({ cpus: [{ ...cpu, idt: none }] })))).toEqual(['heki/idt-elsewhere']);
    const fred = foundAfter(() => ({ cpus: [{ ...cpu, cr4: cpu.cr4 | CR4.FRED, idt: none }] }));
    expect(idsAtHigh(fred)).toEqual([]);
  });

  test('heki/idt-elsewhere: IDTR that leads to vmalloc, on a CPU that pages', () => {
    const cpu = { cpu: 0, cr0: CR0.PG | CR0.WP, cr4: CR4.SMEP | CR4.SMAP | CR4.UMIP };
    const idt = virtualAddress(VMALLOC);
    const found = foundAfter(() => ({ cpus: [{ ...cpu, idt }] }));
    expect(found.find(({ id }) => id === 'heki/idt-elsewhere')).toMatchObject({
      severity: 'high',
      fingerprint: 'heki/idt-elsewhere|vmalloc',
    });
    const stopped = foundAfter(() => ({
      cpus: [cpu, { cpu: 1, cr0: 0n, cr4: 0n, idt: virtualAddress(0n) }],
    }));
    expect(stopped.map(({ id }) => id)).not.toContain('heki/idt-elsewhere');
  });

  test('heki/tables-absent: an entry that leads out of the dump', () => {
    const [worst] = foundAfter((kernel) => void kernel.edit(VMALLOC, 2, leadingTo(0x9123)));
    expect(worst).toMatchObject({ id: 'heki/tables-absent', severity: 'high' });
  });

  test('heki/kernel-half-differs: an entry that one address space has for itself', () => {
    const OTHER = 0x9124 as Gfn;
    const cpu = { cr0: CR0.PG | CR0.WP, cr4: CR4.SMEP | CR4.SMAP | CR4.UMIP };
    const withOtherRoot = (change: (page: Uint32Array) => void) =>
      foundAfter((kernel) => {
        const { tables } = kernel.subject();
        const page = Uint32Array.from(kernel.memory.page(tables.root) ?? []);
        change(page);
        const memory = {
          page: (frame: Gfn) => (frame === OTHER ? page : kernel.memory.page(frame)),
          writablePage: () => undefined,
        };
        return {
          tables: proveKernelRoot({ memory, root: tables.root, levels: tables.levels }),
          cpus: [
            { ...cpu, cpu: 0, cr3: BigInt(tables.root) << 12n },
            { ...cpu, cpu: 1, cr3: (BigInt(OTHER) << 12n) | 5n },
          ],
        };
      }).filter(({ id }) => id === 'heki/kernel-half-differs');
    expect(withOtherRoot(() => {})).toEqual([]);
    // What a processor sets, a user page, the LDT's slot, and an entry that is not filled in yet.
    const harmless = withOtherRoot((page) => {
      page[2 * 273] = (page[2 * 273] ?? 0) ^ EntryLow.A;
      page[2] = 0x9126_0067;
      page[2 * 272] = 0x9125_0067;
      page[2 * 402] = 0;
    });
    expect(harmless).toEqual([]);
    const [found] = withOtherRoot((page) => {
      page[2 * 290] = 0x912_5067;
    });
    expect(found).toMatchObject({ severity: 'high', fingerprint: 'heki/kernel-half-differs|page tables' });
    expect(found?.summary).toContain('CPU 1');
  });

  test('heki/protection-off: by what the processor is known to have', () => {
    const cpu = { cpu: 0, cr0: CR0.PG | CR0.WP, cr4: CR4.SMEP | CR4.SMAP | CR4.UMIP };
    const severities = (changes: Parameters<TamperedKernel['subject']>[0]) =>
      foundAfter(() => changes)
        .filter(({ id }) => id === 'heki/protection-off')
        .map(({ severity, fingerprint }) => `${severity} ${fingerprint.replace('heki/protection-off|', '')}`);
    expect(severities({ cpus: [cpu] })).toEqual([]);
    expect(severities({ cpus: [{ ...cpu, cr0: CR0.PG }] })).toEqual(['critical CR0.WP']);
    expect(severities({ cpus: [{ ...cpu, cr4: CR4.UMIP }] })).toEqual(['medium CR4.SMEP', 'medium CR4.SMAP']);
    expect(severities({ cpus: [{ ...cpu, cr4: CR4.UMIP }], supportedCr4: CR4.SMEP })).toEqual([
      'high CR4.SMEP',
      'medium CR4.SMAP',
    ]);
    // Another CPU has it set.
    expect(severities({ cpus: [cpu, { ...cpu, cpu: 1, cr4: CR4.SMEP | CR4.SMAP }] })).toEqual([
      'medium CR4.UMIP',
    ]);
    // A CPU that was never started.
    expect(severities({ cpus: [cpu, { cpu: 1, cr0: 0x6000_0010n, cr4: 0n }] })).toEqual([]);
    expect(severities({ cpus: [cpu], efer: EFER.LME | EFER.LMA })).toEqual(['critical EFER.NXE']);
  });

  test('heki/ram-outside-direct-map: a large page taken out', () => {
    const kernel = tamperedKernel(NAME);
    const rangesOf = () =>
      auditKernel(kernel.subject()).findings.find(({ id }) => id === 'heki/ram-outside-direct-map')?.ranges;
    expect(rangesOf()).toBeUndefined();
    kernel.edit(DIRECT + 0x800_0000n, 2, (entry) => {
      entry.low &= ~EntryLow.P;
    });
    expect(rangesOf()).toEqual([{ start: 0x8000, end: 0x8200 }]);
  });

  test('heki/stale-read-only: an alias of fewer rights', () => {
    const found = foundAfter((kernel) => {
      kernel.edit(VMALLOC, 1, (entry) => {
        leadingTo(0x8000)(entry);
        entry.low &= ~EntryLow.RW;
      });
    });
    expect(found.map(({ id }) => id)).toContain('heki/stale-read-only');
  });

  test('heki/mixed-large-page: a large page of the direct map over a page that vmalloc lets one execute', () => {
    const found = foundAfter((kernel) => {
      kernel.edit(VMALLOC, 1, (entry) => {
        leadingTo(0x8000)(entry);
        executable(entry);
      });
    });
    expect(found.map(({ id }) => id)).toContain('heki/mixed-large-page');
    expect(found[0]).toMatchObject({ id: 'heki/wx-mapping', pages: 1 });
  });
});

test('CET and LASS that are off are information, and only where the processor surely has them', () => {
  const places = (supportedCr4: bigint | undefined) =>
    auditKernel({ ...tamperedKernel(NAME).subject(), supportedCr4 })
      .findings.filter(({ id }) => id === 'heki/protection-off')
      .map(({ severity, fingerprint }) => `${severity} ${fingerprint}`);
  expect(places(undefined)).toEqual([]);
  expect(places(CR4.CET | CR4.LASS)).toEqual([
    'info heki/protection-off|CR4.CET',
    'info heki/protection-off|CR4.LASS',
  ]);
});

test('page-table isolation that is off is told where the named processor needs it, and nowhere else', () => {
  const found = (name: string, meltdown: boolean | undefined) =>
    auditKernel({ ...tamperedKernel(name).subject(), meltdown })
      .findings.filter(({ fingerprint }) => fingerprint === 'heki/protection-off|page-table isolation')
      .map(({ severity }) => severity);
  expect(found(NAME, true)).toEqual(['medium']);
  expect(found(NAME, undefined)).toEqual([]);
  expect(found('k61-256-nokaslr-pti', true)).toEqual([]);
  expect(found('foreign/k61-stock-skylake', true)).toEqual([]);
});

test('every kind has words for each question, and an id of its own', () => {
  expect(new Set(FINDING_KINDS.map(({ id }) => id)).size).toBe(FINDING_KINDS.length);
  for (const kind of FINDING_KINDS) {
    expect(kind.id).toMatch(/^heki\/[a-z]+(-[a-z]+)*$/);
    for (const text of [kind.title, kind.explanation, kind.attack, kind.legitimate, kind.advice]) {
      expect(text.length).toBeGreaterThan(5);
    }
  }
});
