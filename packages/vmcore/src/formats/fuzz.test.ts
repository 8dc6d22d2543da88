import { frameOf, gfn, gpa } from '@heki/physical-memory';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesSource } from '../byte-source.ts';
import { VmcoreError } from '../error.ts';
import { resolveKernelRoot } from '../root/resolve-kernel-root.ts';
import { buildFlattened, buildKdump } from '../testing/build-kdump.ts';
import { fuzzRuns } from '../testing/fuzz-runs.ts';
import { edge } from '../testing/header-edges.ts';
import { PACKING_FLAGS, packedPages } from '../testing/packed-pages.ts';
import { readVmcore, type Vmcore } from '../vmcore.ts';

/** What `read` gives; `undefined` when it throws a VmcoreError, and any other error is the test's failure. */
function answer<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof VmcoreError) return undefined;
    throw error;
  }
}

/** So many files are opened that a cache of the usual size would take most of the time. */
const SMALL = { cachePages: 64 };
const readSmall = (bytes: Uint8Array): Vmcore => readVmcore(bytes, SMALL);

/** Reads all that a caller would look at. */
function exercise(bytes: Uint8Array, read: (bytes: Uint8Array) => Vmcore = readSmall): void {
  const core = answer(() => read(bytes));
  if (core === undefined) return;
  answer(() => resolveKernelRoot(core));
  const segments = core.segments.slice(0, 40);
  expect(segments.filter(({ start, end }) => end <= start)).toEqual([]);
  for (const { start } of segments) {
    answer(() => core.memory.page(frameOf(start)));
  }
  for (const frame of [0, 1, 2 ** 20, 2 ** 40 - 1]) answer(() => core.memory.page(gfn(frame)));
  answer(() => core.memory.page(frameOf(gpa(0))));
}

const { packed } = packedPages();
const pages = (['zlib', 'lzo', 'snappy', 'zstd'] as const).flatMap((packing, way) =>
  packed[packing]
    .slice(0, 3)
    .map((bytes, index) => ({ frame: 28 * index + way, bytes, flags: PACKING_FLAGS[packing] })),
);
const kdump = buildKdump({ pages, vmcoreinfo: 'OSRELEASE=6.1\nSYMBOL(swapper_pg_dir)=ffffffff80001000\n' });
const flattened = buildFlattened(
  Array.from({ length: Math.ceil(kdump.length / 3000) }, (_, index) => ({
    offset: 3000 * index,
    bytes: kdump.subarray(3000 * index, 3000 * (index + 1)),
  })),
);
const lime = (() => {
  const bytes = new Uint8Array(3 * (32 + 8192));
  const view = new DataView(bytes.buffer);
  for (let range = 0; range < 3; range++) {
    const at = range * (32 + 8192);
    bytes.set(new TextEncoder().encode('EMiL'), at);
    view.setUint32(at + 4, 1, true);
    view.setBigUint64(at + 8, BigInt(range * 0x10000), true);
    view.setBigUint64(at + 16, BigInt(range * 0x10000 + 8191), true);
  }
  return bytes;
})();

/** Beside a part that is whole. */
const part = buildKdump({ pages, part: { start: 0, end: 40 } });
const otherPart = buildKdump({ pages, part: { start: 40, end: 80 } });
const joined = (bytes: Uint8Array) => readVmcore([bytesSource(bytes), bytesSource(otherPart)], SMALL);

/** The memory of a kernel's tables in 128 KiB, and its VMCOREINFO. */
const raw = (() => {
  const bytes = new Uint8Array(2 ** 17);
  bytes.set(new TextEncoder().encode('OSRELEASE=6.1\nSYMBOL(swapper_pg_dir)=ffffffff80001000\n'), 0x8000);
  for (const [index, page] of packedPages().pages.slice(0, 12).entries())
    bytes.set(page, 0x10000 + index * 4096);
  const view = new DataView(bytes.buffer);
  for (const [slot, frame] of [
    [256, 0x11],
    [511, 0x12],
  ] as const)
    view.setUint32(0x1000 + slot * 8, frame * 4096 + 3, true);
  return bytes;
})();

describe.each([
  ['raw image', raw, 0x2000, undefined],
  ['part of a kdump that was split', part, 4096 + 112, joined],
  ['kdump', kdump, 4096 + 112, undefined],
  ['flattened kdump', flattened, 2 * 4096, undefined],
  ['image of LiME', lime, lime.length, undefined],
] as const)('a %s', (_, whole, headers, read) => {
  it('whose headers are overwritten is refused or read', () => {
    const change = fc.tuple(fc.nat(headers / 4 - 2), edge, fc.boolean());
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
        const bytes = whole.slice();
        const view = new DataView(bytes.buffer);
        for (const [word, value, wide] of changes) {
          if (wide) view.setBigUint64(word * 4, value, true);
          else view.setUint32(word * 4, Number(value & 0xffffffffn), true);
        }
        exercise(bytes, read);
      }),
      { numRuns: fuzzRuns(150) },
    );
  });

  it('with bytes anywhere overwritten, or cut short, is refused or read', () => {
    const change = fc.tuple(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), fc.nat(255));
    fc.assert(
      fc.property(
        fc.array(change, { maxLength: 40 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (changes, cut) => {
          const bytes = whole.slice();
          for (const [at, value] of changes) bytes[Math.floor(at * bytes.length)] = value;
          exercise(cut < 0.5 ? bytes : bytes.subarray(0, Math.floor(cut * bytes.length)), read);
        },
      ),
      { numRuns: fuzzRuns(150) },
    );
  });
});
