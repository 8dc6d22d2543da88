import type { VirtualFrame } from '@heki/physical-memory';
import { virtualFrameOf } from '@heki/physical-memory';
import { EntryLow, entryFrame, entryIndex, type Level, walkMappings } from '@heki/x86';
import { describe, expect, test } from 'vitest';
import { bootKernel, done } from '../testing/running-kernel.ts';
import type { UserProcess } from './user-process.ts';

/** Programs lie below, and early boot does not. */
const USER_END = 0x50_0000n;
const PROGRAM = { text: 2, data: 3, jit: 1 } as const;

describe.each([4, 5] as const)('a process with %i paging levels', (levels) => {
  const accesses: string[] = [];
  const running = bootKernel({
    levels,
    setup: {
      onEvent(event) {
        if (event.type === 'access' && event.va < USER_END) accesses.push(event.access);
      },
    },
  });
  const { kernel, memory } = running;
  const leaves = ({ pageTableRoot: root }: UserProcess): string[] => {
    const found: string[] = [];
    walkMappings(
      { memory, root, levels },
      0 as VirtualFrame,
      0x10_0000 as VirtualFrame,
      ({ virtualFrame, low, high, frames }) => {
        const rights = `${(low & 2) === 0 ? '-' : 'w'}${high >>> 31 === 0 ? 'x' : '-'}${(low & 4) === 0 ? '' : 'u'}`;
        found.push(`${virtualFrame.toString(16)}+${frames} ${rights}`);
      },
    );
    return found;
  };

  test('has its pages in the lower half, and the kernel in the upper', () => {
    const process = done(kernel.startProcess(PROGRAM));
    expect(leaves(process)).toEqual([
      '400+1 -xu',
      '401+1 -xu',
      '402+1 w-u',
      '403+1 w-u',
      '404+1 w-u',
      '405+1 w-u',
    ]);
    const half = (root: number): number[] => running.bytes(root as typeof process.pageTableRoot, 2048, 2048);
    expect(half(process.pageTableRoot)).toEqual(half(kernel.pageTableRoot));
    done(kernel.endProcess(process.pid));
  });

  test('uses every page at CPL 3, and leaves the processor as it was', () => {
    const { vcpu } = running;
    const { pid } = done(kernel.startProcess(PROGRAM));
    const { cr3 } = vcpu.registers;
    accesses.length = 0;
    for (let run = 0; run < 2; run++) done(kernel.runProcess(pid));
    expect(vcpu.registers).toMatchObject({ cr3, cpl: 0 });
    expect(vcpu.registers.rip).toBeGreaterThan(USER_END);
    const count = (kind: string): number => accesses.filter((access) => access === kind).length;
    expect([count('fetch'), count('load'), count('store')]).toEqual([2 * 3, 2 * 3, 2 * 4]);
    done(kernel.endProcess(pid));
  });

  test('gives back every page', () => {
    const before = kernel.freeFrames;
    const processes = [PROGRAM, PROGRAM].map((program) => done(kernel.startProcess(program)));
    expect(new Set(processes.map(({ pid }) => pid)).size).toBe(2);
    expect(kernel.freeFrames).toBeLessThan(before - 2 * 6);
    for (const { pid } of processes) done(kernel.endProcess(pid));
    expect(kernel.freeFrames).toBe(before);
  });

  test('that there is no memory for is not there, and nothing is lost', () => {
    const held = [];
    while (kernel.freeFrames > 6) held.push(done(kernel.allocatePages()));
    expect(kernel.startProcess(PROGRAM)).toMatchObject({ kind: 'error', errno: -12 });
    expect(kernel.freeFrames).toBe(6);
    for (const frame of held) kernel.freePages(frame);
  });

  test('is killed when a page of its own is not as its page tables say; the kernel goes on', () => {
    const process = done(kernel.startProcess(PROGRAM));
    const before = kernel.freeFrames;
    const page = virtualFrameOf(process.areas.data.address);
    let table = process.pageTableRoot;
    for (let level = levels as Level; level > 1; level = (level - 1) as Level) {
      const words = memory.page(table) ?? [];
      const slot = 2 * entryIndex(page, level);
      table = entryFrame(words[slot] ?? 0, words[slot + 1] ?? 0);
    }
    const entries = memory.writablePage(table);
    const word = 2 * entryIndex(page, 1);
    if (entries !== undefined) entries[word] = (entries[word] ?? 0) & ~EntryLow.RW;
    expect(kernel.runProcess(process.pid)).toMatchObject({
      kind: 'error',
      errno: -14,
      why: `process ${process.pid}: its store at 0x402000 is its last: exception 14, error code 0x7`,
    });
    expect(running.vcpu.registers.cpl).toBe(0);
    expect(kernel.freeFrames).toBeGreaterThan(before);
    expect(kernel.runProcess(process.pid)).toMatchObject({ kind: 'error', errno: -3 });
    done(kernel.vmalloc(1));
  });
});
