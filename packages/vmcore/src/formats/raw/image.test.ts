import { createHash } from 'node:crypto';
import { createOverlay, frameOf, type Gfn, gfn, gpa, PAGE_SIZE, readBytes } from '@heki/physical-memory';
import { describe, expect, it } from 'vitest';
import type { ByteSource } from '../../byte-source.ts';
import { infoTlbLine } from '../../info-tlb.ts';
import { openVmcore } from '../../node/open-vmcore.ts';
import { chosenRootOf } from '../../root/cpu-root.ts';
import { doubtsAbout } from '../../root/doubts.ts';
import { resolveKernelRoot } from '../../root/resolve-kernel-root.ts';
import { fixturePath } from '../../testing/fixtures.ts';
import { walkSlowly } from '../../testing/walk-slowly.ts';
import { readVmcore, type Vmcore } from '../../vmcore.ts';

/** What the memory of a fixture's guest is where the fixture has nothing: zero, but for the kernel's VMCOREINFO. */
interface Guest {
  readonly core: Vmcore;
  readonly size: number;
  readonly vmcoreinfo: { readonly at: number; readonly text: string } | undefined;
}

const core = openVmcore(fixturePath('formats/kdump-qemu-flattened.gz'));
const text = new TextDecoder('latin1').decode(
  core.notes.find(({ name }) => name === 'VMCOREINFO')?.descriptor,
);
const size = Math.ceil((core.segments.at(-1)?.end ?? 0) / 2 ** 20) * 2 ** 20;
const guest: Guest = { core, size, vmcoreinfo: { at: 0x9000, text } };
const silent: Guest = { ...guest, vmcoreinfo: undefined };

/** What of `text`, which lies at `at`, the bytes from `address` on have. */
function putText(
  text: { readonly at: number; readonly text: string },
  address: number,
  target: Uint8Array,
): void {
  const bytes = Buffer.from(`${text.text}\0`, 'latin1');
  const start = Math.max(text.at, address);
  const end = Math.min(text.at + bytes.length, address + target.length);
  if (start < end) target.set(bytes.subarray(start - text.at, end - text.at), start - address);
}

function fill({ core: { memory }, vmcoreinfo }: Guest, address: number, target: Uint8Array): void {
  target.fill(0);
  for (let at = 0; at < target.length; ) {
    const page = memory.page(frameOf(gpa(address + at)));
    const end = Math.min(target.length, at + PAGE_SIZE - ((address + at) % PAGE_SIZE));
    if (page !== undefined) readBytes(memory, gpa(address + at), target.subarray(at, end));
    at = end;
  }
  if (vmcoreinfo === undefined) return;
  putText(vmcoreinfo, address, target);
}

function rawSource(of: Guest): ByteSource {
  return { size: of.size, read: (at, target) => fill(of, at, target), words: () => undefined, close() {} };
}

function limeImage(of: Guest): Uint8Array {
  const ranges = [{ start: 0x9000, end: 0xa000 }, ...of.core.segments];
  const parts = ranges.flatMap(({ start, end }) => {
    const header = Buffer.alloc(32);
    header.write('EMiL');
    header.writeUInt32LE(1, 4);
    header.writeBigUInt64LE(BigInt(start), 8);
    header.writeBigUInt64LE(BigInt(end - 1), 16);
    const bytes = new Uint8Array(end - start);
    fill(of, start, bytes);
    return [header, bytes];
  });
  return Buffer.concat(parts);
}

/** Of the kernel's half of QEMU's `info tlb`. */
const infoTlb = 'a6abcec94a527f40274d8d3204dffced817eff6f8936850cb283b87d3135e4f0';
const walked = (image: Vmcore, { root, levels }: { readonly root: Gfn; readonly levels: 4 | 5 }) =>
  createHash('sha256')
    .update(`${walkSlowly(image.memory, root, levels).map(infoTlbLine).join('\n')}\n`)
    .digest('hex');

describe.each([
  ['a raw image', (of: Guest) => readVmcore(rawSource(of)), 'raw image'],
  ['an image of LiME', (of: Guest) => readVmcore(limeImage(of)), 'LiME image'],
] as const)('%s', (_, read, format) => {
  it('has no notes, but the kernel tells in its own memory where its tables are', () => {
    const image = read(guest);
    expect(image.format).toBe(format);
    expect(image.cpus).toEqual([]);
    expect(image.vmcoreinfo?.release).toBe(core.vmcoreinfo?.release);
    const kernel = resolveKernelRoot(image);
    expect(kernel.origin.kind).toBe('swapper-pg-dir');
    expect(walked(image, kernel)).toBe(infoTlb);
  });

  it('without that is walked from a root that is found by its structure, which is said', () => {
    const image = read(silent);
    const kernel = resolveKernelRoot(image);
    expect(kernel.origin).toMatchObject({ kind: 'structure', cpu: undefined });
    expect(walked(image, kernel)).toBe(infoTlb);
    expect(doubtsAbout(image, kernel).map(({ id }) => id)).toContain('root-by-structure');
  });

  it('is walked by structure, too, when swapper_pg_dir was overwritten, if the text is where VMCOREINFO has it', () => {
    const swapper = core.vmcoreinfo?.swapperPgDir ?? 0;
    const memory = createOverlay({ base: core.memory });
    memory.writablePage(frameOf(gpa(swapper)))?.fill(0);
    const image = read({ ...guest, core: { ...core, memory } });
    const kernel = resolveKernelRoot(image);
    expect(kernel.origin.kind).toBe('structure');
    expect(walked(image, kernel)).toBe(infoTlb);
  });

  it('is walked from the CR3 that is given, with the levels that its tables show', () => {
    const image = read(silent);
    const cr3 = core.cpus[0]?.cr3 ?? 0n;
    expect(walked(image, chosenRootOf(image, { cr3 }))).toBe(infoTlb);
    expect(resolveKernelRoot(image, { cr3 }).origin.kind).toBe('cr3');
  });
});

it('copies of VMCOREINFO that say different things are not believed', () => {
  const other = { at: 0xb000, text: text.replace(/phys_base\)=.*/, 'phys_base)=0') };
  const source = rawSource(guest);
  const image = readVmcore({
    ...source,
    read(at, target) {
      source.read(at, target);
      putText(other, at, target);
    },
  });
  expect(image.vmcoreinfo).toBeUndefined();
  expect(image.warnings.map(({ id }) => id)).toEqual(['vmcoreinfo-differs']);
  expect(resolveKernelRoot(image).origin.kind).toBe('structure');
});

describe('a damaged image of LiME', () => {
  const whole = limeImage(guest);
  const damaged = (change: (view: DataView) => void) => {
    const bytes = Uint8Array.from(whole);
    change(new DataView(bytes.buffer));
    return () => readVmcore(bytes);
  };

  it('is refused where it is wrong', () => {
    expect(damaged((view) => view.setUint32(4, 2, true))).toThrow('a range of LiME version 2');
    expect(damaged((view) => view.setBigUint64(16, 0n, true))).toThrow(
      'the first first (at file offset 0x8)',
    );
    expect(damaged((view) => view.setBigUint64(16, 2n ** 60n, true))).toThrow('at most 52 bits');
    expect(damaged((view) => view.setBigUint64(16, 0x9fffn - 8n, true))).toThrow('no range of LiME');
  });

  it('that was cut short lacks its last pages, and says so', () => {
    const cut = readVmcore(whole.subarray(0, whole.length - 4096));
    expect(cut.warnings.map(({ id }) => id)).toEqual(['truncated']);
    expect(cut.memory.page(gfn((core.segments.at(-1)?.end ?? 0) / PAGE_SIZE - 1))).toBeUndefined();
  });

  it('holds, wherever it was cut, whole pages of the guest or none, and says that it was cut', () => {
    const range = (start: number, bytes: number) => {
      const header = Buffer.alloc(32);
      header.write('EMiL');
      header.writeUInt32LE(1, 4);
      header.writeBigUInt64LE(BigInt(start), 8);
      header.writeBigUInt64LE(BigInt(start + bytes - 1), 16);
      return Buffer.concat([header, Buffer.alloc(bytes, 7)]);
    };
    const small = Buffer.concat([range(0x1000, 2 * PAGE_SIZE), range(0x4000, PAGE_SIZE)]);
    const second = 32 + 2 * PAGE_SIZE;
    const held = (length: number) => {
      const cut = readVmcore(small.subarray(0, length));
      expect(cut.warnings.map(({ id }) => id)).toEqual(['truncated']);
      return [1, 2, 4].filter((frame) => {
        const page = cut.memory.page(gfn(frame));
        if (page !== undefined) expect(new Set(Uint32Array.from(page))).toEqual(new Set([0x07070707]));
        return page !== undefined;
      });
    };
    for (const length of [32, 33, 32 + PAGE_SIZE - 1]) expect(held(length)).toEqual([]);
    for (const length of [32 + PAGE_SIZE, second - 1]) expect(held(length)).toEqual([1]);
    for (const length of [1, 31, 32, 33, 32 + PAGE_SIZE - 1]) expect(held(second + length)).toEqual([1, 2]);
    expect(readVmcore(small).warnings).toEqual([]);
    expect(readVmcore(small.subarray(0, second)).warnings).toEqual([]);
  });
});

it('a file of whole pages that is not memory is refused for what was looked for in it', () => {
  const image = readVmcore(new Uint8Array(2 ** 20));
  expect(() => resolveKernelRoot(image)).toThrow('nor a page with the structure of a root table');
  expect(() => readVmcore(new Uint8Array(2 ** 20 - 1))).toThrow('no memory dump of any known format');
});
