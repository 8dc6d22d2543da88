import { createMemoryMap, type Gfn, gfn, type VirtualAddress } from '@heki/physical-memory';
import { describe, expect, test } from 'vitest';
import { LinuxError } from '../index.ts';
import { after, bootKernel, done, type RunningKernel } from '../testing/running-kernel.ts';

const PAGE = 4096;
const frameOf = (running: RunningKernel, address: VirtualAddress): Gfn =>
  running.leaf(address)?.guestFrame ?? gfn(0);

describe('vmalloc', () => {
  test('maps pages in 4-KiB leaves, writable and not executable, with a page between areas that is not mapped', () => {
    const running = bootKernel();
    const first = done(running.kernel.vmalloc(3));
    const second = done(running.kernel.vmalloc(1));
    expect(second.address - first.address).toBe(4n * 4096n);
    const rights = [0, 1, 2, 3, 4].map((page) => running.rights(after(first.address, page * PAGE)));
    expect(rights).toEqual(['rw-', 'rw-', 'rw-', '---', 'rw-']);
    expect(running.leaf(first.address)?.level).toBe(1);
  });

  test('takes pages that were freed just before', () => {
    const running = bootKernel();
    const first = done(running.kernel.vmalloc(1));
    const frame = frameOf(running, first.address);
    done(running.kernel.vfree(first.address));
    expect(frameOf(running, done(running.kernel.vmalloc(1)).address)).toBe(frame);
  });

  test('does not use addresses again until everything is flushed: processors may still have them cached', () => {
    const { kernel, vcpu } = bootKernel();
    const { address } = done(kernel.vmalloc(1));
    expect(vcpu.store(address, 8, 5n).kind).toBe('done');
    done(kernel.vfree(address));
    expect(vcpu.load(address, 8)).toMatchObject({ kind: 'done', value: 5n });
    expect(done(kernel.vmalloc(1)).address).not.toBe(address);
    // More than 32 MiB of lazily freed areas bring the flush.
    for (let round = 0; round < 3; round++) done(kernel.vfree(done(kernel.vmalloc(4096)).address));
    expect(vcpu.load(address, 8)).toMatchObject({ kind: 'exception', errorCode: 0 });
    expect(done(kernel.vmalloc(1)).address).toBe(address);
  });

  test('fails with -ENOMEM when memory runs out, and gives back what it took', () => {
    const { kernel } = bootKernel();
    const before = kernel.freeFrames;
    expect(kernel.vmalloc(before + 1)).toMatchObject({ kind: 'error', errno: -12 });
    expect(kernel.freeFrames).toBe(before);
  });

  test('fails when there is no page for a table, and takes down what it had mapped', () => {
    const { kernel } = bootKernel();
    done(kernel.vmalloc(400));
    const all = kernel.freeFrames;
    // All but one page: the area crosses into a table that cannot be had.
    expect(kernel.vmalloc(all)).toMatchObject({ kind: 'error', errno: -12 });
    expect(kernel.freeFrames).toBe(all);
  });

  test('has nothing to free where nothing begins', () => {
    const { kernel } = bootKernel();
    const { address } = done(kernel.vmalloc(2));
    expect(kernel.vfree(after(address, PAGE))).toMatchObject({ kind: 'error', errno: -22 });
    expect(kernel.vfree(address).kind).toBe('done');
    expect(kernel.vfree(address)).toMatchObject({ kind: 'error', errno: -22 });
  });

  test('is misused with no pages, or before there is a page allocator', () => {
    const { kernel } = bootKernel({}, { before: 'mem_init' });
    expect(() => kernel.vmalloc(1)).toThrow('boot has not come past mem_init yet: the next step is mem_init');
    kernel.boot();
    expect(() => kernel.vmalloc(0)).toThrow(LinuxError);
  });
});

describe('vmap', () => {
  test('maps frames in any order, and leaves them to their owner', () => {
    const running = bootKernel();
    const frames = [gfn(0x6003), gfn(0x6001), gfn(0x6002)];
    const { address } = done(running.kernel.vmap(frames));
    expect([0, 1, 2].map((page) => frameOf(running, after(address, page * PAGE)))).toEqual(frames);
    const free = running.kernel.freeFrames;
    done(running.kernel.vfree(address));
    expect(running.rights(address)).toBe('---');
    expect(running.kernel.freeFrames).toBeGreaterThanOrEqual(free);
  });
});

describe('ioremap', () => {
  test('maps devices uncached, aligned and in large leaves where they fit', () => {
    const running = bootKernel();
    const { address } = done(running.kernel.ioremap(gfn(0xfd000), 1024));
    expect(address % (1024n * 4096n)).toBe(0n);
    const leaf = running.leaf(address);
    expect(leaf).toMatchObject({ level: 2, guestFrame: 0xfd000 });
    expect((leaf?.low ?? 0) & 0x18).toBe(0x10);
    done(running.kernel.vfree(address));
    expect(running.rights(address)).toBe('---');
  });
});

test('5-level kernels have the same areas, further up', () => {
  const memoryMap = createMemoryMap<Gfn>([{ start: gfn(0x100), end: gfn(0x8000), type: 'ram' }]);
  expect(() => bootKernel({ memoryMap, levels: 5 })).toThrow('early boot found no 7 frames in a row');
  const running = bootKernel({ levels: 5, kaslrSeed: 7 });
  const { address } = done(running.kernel.vmalloc(1));
  expect(Number(address >> 12n)).toBeGreaterThanOrEqual(running.kernel.layout.vmalloc.start);
  expect(running.rights(address)).toBe('rw-');
  expect(running.vcpu.store(address, 8, 1n).kind).toBe('done');
});
