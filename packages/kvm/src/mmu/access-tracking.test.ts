import type { Gfn } from '@heki/physical-memory';
import { AMD_ZEN4, type CpuProfile, INTEL_VT_RP } from '@heki/x86';
import { describe, expect, test } from 'vitest';
import { MemslotFlag } from '../memslots/memslot.ts';
import { createGuest, kernelVa, range, type TestGuest, userVa } from '../testing/guest.ts';

const { ept } = INTEL_VT_RP;
if (ept === undefined) throw new TypeError('the processor has EPT');
const withEpt = (part: Partial<typeof ept>): CpuProfile => ({ ...INTEL_VT_RP, ept: { ...ept, ...part } });

describe.each<[string, Partial<typeof ept>]>([
  ['accessed flags', {}],
  ['no accessed flags', { accessedDirty: false }],
  ['neither accessed flags nor execute-only entries', { accessedDirty: false, executeOnly: false }],
  ['no accessed flags and no MBEC', { accessedDirty: false, modeBasedExecute: false }],
  ['neither of the three', { accessedDirty: false, executeOnly: false, modeBasedExecute: false }],
])('with %s', (_name, part) => {
  test('pages whose use is asked for can be used again, with the rights that they had', () => {
    const guest = createGuest({ processor: withEpt(part) });
    guest.protect([range(0x200, 0x201, 1), range(0x201, 0x202, 5)]);
    const splits = part.modeBasedExecute !== false;
    for (const use of ['load', 'fetch', 'store', 'user'] as const) {
      guest.cpu.registers.cpl = 0;
      guest.vm.preFault(0 as Gfn, 0x400 as Gfn);
      guest.vm.age(0 as Gfn, 0x4000 as Gfn);
      if (use === 'user') guest.cpu.registers.cpl = 3;
      const at = (gfn: number) => (use === 'user' ? userVa(gfn * 4096) : kernelVa(gfn * 4096));
      const outcomes = [0x200, 0x201, 0x202].map((gfn) =>
        use === 'load'
          ? guest.cpu.load(at(gfn), 8)
          : use === 'store'
            ? guest.cpu.store(at(gfn), 8, 1n)
            : guest.cpu.fetch(at(gfn)),
      );
      const denied = (errorCode: number) => ({ kind: 'exception', vector: 14, errorCode });
      const done = { kind: 'done' };
      expect(outcomes, use).toMatchObject(
        use === 'store'
          ? [denied(3), denied(3), done]
          : use === 'fetch' && splits
            ? [denied(0x11), done, denied(0x11)]
            : [done, done, done],
      );
    }
  });
});

/** Processors by what `age` does on them: whether leaves stay. */
const AGED: readonly (readonly [string, CpuProfile, boolean])[] = [
  ['accessed flags', INTEL_VT_RP, true],
  ['no accessed flags', withEpt({ accessedDirty: false }), true],
  [
    'neither accessed flags nor execute-only entries',
    withEpt({ accessedDirty: false, executeOnly: false }),
    false,
  ],
  ['nested paging', AMD_ZEN4, true],
];

describe.each(AGED)('with %s', (_name, processor, leavesStay) => {
  const leavesOf = ({ vm }: TestGuest): number =>
    Object.values(vm.leafCounts()).reduce((sum, one) => sum + one);

  test('what lies in a page is the same before and after, whoever comes first', () => {
    const guest = createGuest({ processor });
    for (const gfn of [0x200, 0x201, 0x400]) guest.cpu.store(kernelVa(gfn * 4096), 8, BigInt(gfn));
    const before = leavesOf(guest);
    guest.vm.age(0 as Gfn, 0x4000 as Gfn);
    expect(leavesOf(guest)).toBe(leavesStay ? before : 0);
    // Twice: what was saved is not saved over.
    guest.vm.age(0 as Gfn, 0x4000 as Gfn);
    // A processor with nothing cached: aging flushes nothing.
    const fresh = guest.addCpu();
    const violations = guest.of('ept-violation').length;
    for (const gfn of [0x200, 0x201, 0x400]) {
      expect(fresh.load(kernelVa(gfn * 4096), 8)).toMatchObject({ kind: 'done', value: BigInt(gfn) });
    }
    // Without flags the next use is noticed because it faults.
    expect(guest.of('ept-violation').length > violations).toBe(processor.ept?.accessedDirty === false);
    guest.vm.age(0 as Gfn, 0x4000 as Gfn);
    const another = guest.addCpu();
    expect(another.store(kernelVa(0x200 * 4096), 8, 9n)).toMatchObject({ kind: 'done' });
    expect(another.load(kernelVa(0x200 * 4096), 8)).toMatchObject({ value: 9n });
    expect(another.load(kernelVa(0x400 * 4096), 8)).toMatchObject({ value: 0x400n });
  });

  test('a load of an aged page is not a store for the dirty log, but where its leaf is made anew', () => {
    const keepsLeaf = processor.ept?.accessedDirty !== false || processor.ept.executeOnly;
    const guest = createGuest({ processor });
    const { backing = 0 } = guest.vm.slots[0] ?? {};
    guest.vm.removeMemory(0 as Gfn);
    const slot = (id: number, start: number, frames: number, flags: number) =>
      guest.vm.ioctls.setUserMemoryRegion({
        slot: id,
        flags,
        guestPhysicalAddress: BigInt(start) << 12n,
        memorySize: BigInt(frames) << 12n,
        userspaceAddress: BigInt(backing + start) << 12n,
      });
    expect([slot(0, 0, 0x200, 0), slot(1, 0x200, 0x100, MemslotFlag.LOG_DIRTY_PAGES)]).toEqual([0, 0]);
    const [read, written] = [kernelVa(0x20_0000), kernelVa(0x20_1000)];
    for (const va of [read, written]) guest.cpu.store(va, 8, 1n);
    expect(guest.vm.ioctls.getDirtyLog(1)).toEqual([0x200, 0x201]);
    guest.vm.age(0 as Gfn, 0x300 as Gfn);
    expect(guest.cpu.load(read, 8)).toMatchObject({ value: 1n });
    expect(guest.vm.ioctls.getDirtyLog(1)).toEqual(keepsLeaf ? [] : [0x200]);
    guest.vm.age(0 as Gfn, 0x300 as Gfn);
    expect(guest.cpu.store(written, 8, 2n)).toMatchObject({ kind: 'done' });
    expect(guest.vm.ioctls.getDirtyLog(1)).toEqual([0x201]);
  });
});
