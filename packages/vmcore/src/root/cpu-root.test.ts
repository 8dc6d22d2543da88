import { CR4 } from '@heki/x86';
import { describe, expect, it } from 'vitest';
import { buildCore, type NotePart, qemuNote } from '../testing/build-core.ts';
import { buildKernel } from '../testing/built-kernel.ts';
import { readVmcore, type Vmcore } from '../vmcore.ts';
import { chosenRootOf } from './cpu-root.ts';

/** A core with pages at the frames 1 to 4. */
function coreWith(cpus: Parameters<typeof qemuNote>[0][], info?: string): Vmcore {
  const notes: NotePart[] = cpus.map((control) => qemuNote(control));
  if (info !== undefined) notes.push({ name: 'VMCOREINFO', descriptor: new TextEncoder().encode(info) });
  return readVmcore(buildCore({ notes, loads: [{ address: 0x1000, bytes: new Uint8Array(4 * 4096) }] }));
}

describe('the address space that is asked for', () => {
  it('is that of CR3, without its flags, whichever half of a pair it is', () => {
    const core = coreWith([{ cr3: 0x4018n }, { cr3: 0x8000_0000_0000_3000n, cr4: CR4.PAE | CR4.LA57 }]);
    expect(chosenRootOf(core)).toMatchObject({ root: 4, levels: 4, name: 'CR3 of CPU 0' });
    expect(chosenRootOf(core, { cpu: 1 })).toMatchObject({ root: 3, levels: 5, name: 'CR3 of CPU 1' });
    expect(chosenRootOf(core, { cpu: 1, cr3: 0x2fffn })).toMatchObject({
      root: 2,
      levels: 5,
      name: 'CR3 0x2fff',
    });
  });

  it('is that of the first CPU that was in 64-bit mode', () => {
    const core = coreWith([{ cr0: 0x33n, cr3: 0x1000n }, { cr4: 0x10n }, { cr3: 0x3000n }, { cr3: 0x4000n }]);
    expect(chosenRootOf(core)).toMatchObject({ root: 3, name: 'CR3 of CPU 2' });
  });

  it('can be had without registers when VMCOREINFO tells the levels', () => {
    const cr3 = 0x1000n;
    expect(chosenRootOf(coreWith([], 'NUMBER(pgtable_l5_enabled)=1'), { cr3 }).levels).toBe(5);
    expect(chosenRootOf(coreWith([], 'NUMBER(pgtable_l5_enabled)=0'), { cr3 }).levels).toBe(4);
    expect(() => chosenRootOf(coreWith([]), { cr3 })).toThrow('whether its kernel uses 4 or 5 levels');
  });

  it.each([4, 5] as const)(
    'has as many levels as those by which a kernel maps its root, when nothing else tells (%i)',
    (levels) => {
      const plan = {
        levels,
        ramFrames: 0x3000,
        directMapGib: levels === 4 ? 0x2200 : 0x44_0000,
        largestLeaf: 1,
        textAt: 8,
        vmalloc: [],
      } as const;
      const kernel = buildKernel(plan);
      const core = { ...readVmcore(buildCore({ notes: [] })), memory: kernel.memory };
      const { swapper } = kernel.kernelRoots;
      expect(chosenRootOf(core, { cr3: BigInt(swapper * 4096) })).toMatchObject({ root: swapper, levels });
      expect(() => chosenRootOf(core, { cr3: BigInt(kernel.otherRoots.empty * 4096) })).toThrow(
        'whether its kernel uses 4 or 5 levels',
      );
    },
  );

  it('must be in the dump', () => {
    expect(() => chosenRootOf(coreWith([{ cr3: 0x5000n }]))).toThrow(
      'the dump holds no page at 0x5000, where CR3 of CPU 0 has the root table',
    );
    expect(() => chosenRootOf(coreWith([{}]), { cpu: 1 })).toThrow(
      'no registers of CPU 1: the dump has those of CPU 0 alone',
    );
    expect(() => chosenRootOf(coreWith([]))).toThrow('the dump has no registers of a CPU');
    for (const control of [{ cr0: 0x33n }, { cr4: 0x10n }]) {
      expect(() => chosenRootOf(coreWith([control]))).toThrow('expected PG and PAE, as in 64-bit mode');
    }
  });
});
