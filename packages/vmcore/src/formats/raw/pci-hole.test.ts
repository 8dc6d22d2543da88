import { frameOf, type Gfn, gpa, PAGE_SIZE, readBytes } from '@heki/physical-memory';
import { describe, expect, it } from 'vitest';
import type { ByteSource } from '../../byte-source.ts';
import { infoTlbLine } from '../../info-tlb.ts';
import { openVmcore } from '../../node/open-vmcore.ts';
import { resolveKernelRoot } from '../../root/resolve-kernel-root.ts';
import { fixturePath, inflatedFixture } from '../../testing/fixtures.ts';
import { walkSlowly } from '../../testing/walk-slowly.ts';
import { readVmcore } from '../../vmcore.ts';

/** A guest with 4 GiB: three below the PCI hole, and one, in which its page tables lie, from 4 GiB on. */
const NAME = 'k61-4g-nokaslr';
const core = openVmcore(fixturePath(`${NAME}.elf.gz`));
const GIB = 2 ** 30;

/** Its memory as a file of `size` bytes, each at the offset that `offsetOf` gives its address; zero where the fixture has none. */
function image(size: number, offsetOf: (address: number) => number, vmcoreinfo: boolean): ByteSource {
  const pages = new Map<number, Uint8Array>();
  for (const { start, end } of core.segments) {
    for (let at: number = start; at < end; at += PAGE_SIZE) {
      const bytes = new Uint8Array(PAGE_SIZE);
      readBytes(core.memory, gpa(at), bytes);
      pages.set(offsetOf(at), bytes);
    }
  }
  const note = core.notes.find(({ name }) => name === 'VMCOREINFO');
  if (vmcoreinfo && note !== undefined) {
    pages.set(0x9000, Buffer.alloc(PAGE_SIZE).fill(note.descriptor, 0, note.descriptor.length));
    // The fixture holds what CR3 leads to, a process's root with the same upper half.
    const root = pages.get(offsetOf(Number(core.cpus[0]?.cr3 ?? 0n)));
    if (root !== undefined) pages.set(offsetOf(core.vmcoreinfo?.swapperPgDir ?? 0), root);
  }
  const offsets = [...pages.keys()].sort((a, b) => a - b);
  return {
    size,
    read(offset, target) {
      target.fill(0);
      let next = offsets.findIndex((one) => one >= offset);
      for (; next >= 0 && (offsets[next] ?? size) < offset + target.length; next++) {
        const at = offsets[next] ?? 0;
        target.set(pages.get(at)?.subarray(0, offset + target.length - at) ?? [], at - offset);
      }
    },
    words: () => undefined,
    close: () => {},
  };
}

const infoTlb = inflatedFixture(`${NAME}.info-tlb.txt.gz`).toString();
const behindEachOther = (address: number) => (address < 4 * GIB ? address : address - GIB);

describe('an image of 4 GiB of RAM without the PCI hole', () => {
  it.each([
    ['and with VMCOREINFO', true, 'swapper-pg-dir'],
    ['by structure alone', false, 'structure'],
  ] as const)('is laid out by the direct map of its kernel, %s', (_, told, kind) => {
    const raw = readVmcore(image(4 * GIB, behindEachOther, told));
    expect(raw.format).toBe('raw image of RAM, that from 0xc0000000 on at 4 GiB');
    expect(raw.segments).toEqual([
      { start: 0, end: 3 * GIB },
      { start: 4 * GIB, end: 5 * GIB },
    ]);
    const kernel = resolveKernelRoot(raw);
    expect(kernel.origin.kind).toBe(kind);
    expect(kernel.root * PAGE_SIZE).toBeLessThan(5 * GIB);
    expect(`${walkSlowly(raw.memory, kernel.root, kernel.levels).map(infoTlbLine).join('\n')}\n`).toBe(
      infoTlb,
    );
    expect(raw.memory.page(frameOf(gpa(3 * GIB)))).toBeUndefined();
  });

  it('is left as it is when the hole is in it', () => {
    const raw = readVmcore(image(5 * GIB, (address) => address, true));
    expect(raw.format).toBe('raw image');
    const kernel = resolveKernelRoot(raw);
    expect(`${walkSlowly(raw.memory, kernel.root, kernel.levels).map(infoTlbLine).join('\n')}\n`).toBe(
      infoTlb,
    );
  });

  it('is left as it is when no kernel in it tells', () => {
    const empty = readVmcore(image(3 * GIB, () => 0x1000, false));
    expect(empty.format).toBe('raw image');
    expect(empty.memory.page((3 * 2 ** 18 - 1) as Gfn)).toBeDefined();
    expect(() => resolveKernelRoot(empty)).toThrow('no page table of the dump proves');
  });
});
