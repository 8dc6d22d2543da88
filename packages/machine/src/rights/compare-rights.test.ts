import { createHyperv } from '@heki/hyperv';
import type { BackendEvent, Hypervisor, VirtualMachine } from '@heki/hypervisor';
import { createKvm, createKvmVmm } from '@heki/kvm';
import { initHekiOnHyperv, initHekiOnKvm, initHekiOnXen } from '@heki/paravirt';
import { type Gfn, gfn } from '@heki/physical-memory';
import { createXen } from '@heki/xen';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createMachine } from '../create-machine.ts';
import type { HekiDriver } from '../machine.ts';
import { SMALL_KERNEL, smallKernel } from '../testing/small-kernel.ts';
import { collectiveRights, rightsOfFrame } from './collective-rights.ts';
import { type ComparedRange, compareRights, type RightsComparison } from './compare-rights.ts';
import { grantedRights, kernelRightsText } from './kernel-rights.ts';

const RAM = [{ start: gfn(0), end: gfn(SMALL_KERNEL.ramFrames) }];

function protectedKernel(
  hypervisor: Hypervisor<VirtualMachine, BackendEvent>,
  driver: HekiDriver,
  change: (virtualMachine: VirtualMachine) => void = () => {},
) {
  const { kernel, memory, memoryMap, registers, root, levels } = smallKernel();
  const machine = createMachine({ hypervisor, driver, kernel, memoryMap, registers });
  machine.earlyInit();
  expect(machine.lateInit()).toEqual({ outcome: 'protected' });
  change(machine.virtualMachine);
  const tables = { memory, root, levels };
  const { virtualMachine, capabilities } = machine;
  const mappings = collectiveRights(tables, SMALL_KERNEL.ramFrames);
  return {
    tables,
    mappings,
    virtualMachine,
    comparison: compareRights({ virtualMachine, capabilities, mappings, memory: RAM }),
  };
}

/** `start-end allowed->granted`. */
const lines = (ranges: readonly ComparedRange[]): string[] =>
  ranges.map(
    ({ start, end, allowed, granted }) =>
      `${start.toString(16)}-${end.toString(16)} ${kernelRightsText(allowed)}->${kernelRightsText(granted)}`,
  );

const NOTHING = {
  beyond: [],
  unenforceable: [],
  missing: [],
  writableCode: [],
  frames: 0x4000,
  sampled: false,
};
const RWX = { read: true, write: true, supervisorExecute: true, userExecute: true };
const RX = { ...RWX, write: false };

describe('what is granted beside what mappings allow', () => {
  test.each<[name: string, hypervisor: () => Hypervisor<VirtualMachine, BackendEvent>, driver: HekiDriver]>([
    ['KVM', createKvm, initHekiOnKvm],
    ["KVM under the VMM's policy", createKvmVmm, initHekiOnKvm],
    ['Hyper-V', createHyperv, initHekiOnHyperv],
  ])('is nothing on %s', (_name, hypervisor, driver) => {
    expect(protectedKernel(hypervisor(), driver).comparison).toEqual(NOTHING);
  });

  test('is what a processor or a hypervisor cannot withhold, and told apart from what it could', () => {
    const data = ['0-1000 rw-->rwx', '1200-1400 r--->r-x', '1400-4000 rw-->rwx'];
    for (const [hypervisor, driver] of [
      [createKvm({ mbec: false }), initHekiOnKvm],
      [createXen(), initHekiOnXen],
    ] as const) {
      const { comparison } = protectedKernel(hypervisor, driver);
      expect(lines(comparison.unenforceable)).toEqual(data);
      expect(comparison).toMatchObject({ beyond: [], missing: [] });
    }
    // Text is never to be writable, with or without mode-based execute control.
    const { comparison } = protectedKernel(createXen(), initHekiOnXen, (vm) =>
      vm.protect([{ start: gfn(0x1003), end: gfn(0x1005), rights: RWX }]),
    );
    expect(lines(comparison.beyond)).toEqual(['1003-1005 r-x->rwx']);
  });

  test('is found page by page, in the middle of what is otherwise alike', () => {
    const { comparison } = protectedKernel(createKvmVmm(), initHekiOnKvm, (vm) =>
      vm.protect([
        { start: gfn(0x2001), end: gfn(0x2002), rights: RWX },
        { start: gfn(0x2fff), end: gfn(0x3001), rights: RX },
      ]),
    );
    expect(lines(comparison.beyond)).toEqual(['2001-2002 rw-->rwx', '2fff-3001 rw-->r-x']);
    expect(lines(comparison.missing)).toEqual(['2fff-3001 rw-->r-x']);
  });

  test('is everything where nothing is protected', () => {
    const { kernel, memoryMap, registers } = smallKernel();
    const hypervisor = createKvm();
    const { virtualMachine, capabilities } = createMachine({ hypervisor, kernel, memoryMap, registers });
    const mappings = collectiveRights(kernel, SMALL_KERNEL.ramFrames);
    const { beyond } = compareRights({ virtualMachine, capabilities, mappings, memory: RAM });
    expect(lines(beyond)).toEqual([
      '0-1000 rw-->rwx',
      '1000-1200 r-x->rwx',
      '1200-1400 r--->rwx',
      '1400-4000 rw-->rwx',
    ]);
  });

  test('equals what a look at every page finds, whatever was granted', () => {
    const range = fc.record({
      start: fc.nat(SMALL_KERNEL.ramFrames - 1),
      frames: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 1500 })),
      write: fc.boolean(),
      supervisorExecute: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(range, { maxLength: 6 }), (wanted) => {
        const { comparison, mappings, virtualMachine, tables } = protectedKernel(
          createKvmVmm(),
          initHekiOnKvm,
          (vm) =>
            vm.protect(
              wanted.map(({ start, frames, ...rights }) => ({
                start: start as Gfn,
                end: Math.min(start + frames, SMALL_KERNEL.ramFrames) as Gfn,
                rights: { read: true, userExecute: true, ...rights },
              })),
            ),
        );
        expect(pagesOf(comparison)).toEqual(everyPage(mappings, virtualMachine));
        const frame = wanted[0]?.start ?? 0;
        expect(mappings.of(frame)).toBe(rightsOfFrame(tables, frame));
      }),
      { numRuns: 8 },
    );
  });
});

/** Frames of each kind. */
function pagesOf(comparison: RightsComparison): Record<string, number[]> {
  const frames = (ranges: readonly ComparedRange[]): number[] =>
    ranges.flatMap(({ start, end }) => Array.from({ length: end - start }, (_, at) => start + at));
  return {
    beyond: frames(comparison.beyond),
    missing: frames(comparison.missing),
    writableCode: frames(comparison.writableCode),
  };
}

/** The same by the plainest means, for a hypervisor that can withhold everything. */
function everyPage(
  mappings: { readonly of: (frame: number) => number },
  virtualMachine: VirtualMachine,
): Record<string, number[]> {
  const found = { beyond: [] as number[], missing: [] as number[], writableCode: [] as number[] };
  for (let frame = 0; frame < SMALL_KERNEL.ramFrames; frame++) {
    const allowed = mappings.of(frame);
    const granted = grantedRights(virtualMachine, frame as Gfn);
    if ((granted & ~allowed) !== 0) found.beyond.push(frame);
    if ((allowed & ~granted) !== 0) found.missing.push(frame);
    if ((allowed & 6) === 6) found.writableCode.push(frame);
  }
  return found;
}

describe('what mappings allow together', () => {
  test('is the union over all of them, by the entries of every level', () => {
    const { tables, mappings } = protectedKernel(createKvm(), initHekiOnKvm);
    const text = (frame: number): string => kernelRightsText(mappings.of(frame));
    expect([0, 0xfff, 0x1000, 0x11ff, 0x1200, 0x1400].map(text)).toEqual([
      'rw-',
      'rw-',
      'r-x',
      'r-x',
      'r--',
      'rw-',
    ]);
    expect(mappings).toMatchObject({ absentTables: 0, cutShort: false });
    expect(collectiveRights({ ...tables, budget: 2 }, 0x4000).cutShort).toBe(true);
    expect(mappings.of(0x4000)).toBe(0);
  });

  test('has an end of each stretch of equal rights, at most 2 MiB away', () => {
    const { mappings } = protectedKernel(createKvm(), initHekiOnKvm);
    expect(mappings.next(0, 0x4000)).toBe(0x200);
    expect(mappings.next(0x1ff, 0x4000)).toBe(0x200);
    expect(mappings.next(0x3f00, 0x3f10)).toBe(0x3f10);
  });
});
