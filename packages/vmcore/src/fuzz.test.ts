import { frameOf, gfn, gpa } from '@heki/physical-memory';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesSource } from './byte-source.ts';
import { VmcoreError } from './error.ts';
import { readProgramHeaders } from './formats/elf/elf-header.ts';
import { type ElfSegment, readSegments } from './formats/elf/segment.ts';
import { pagingRegistersOf } from './paging-registers.ts';
import { resolveKernelRoot } from './root/resolve-kernel-root.ts';
import { buildCore, qemuNote } from './testing/build-core.ts';
import { fixtureNames, inflatedFixture } from './testing/fixtures.ts';
import { fuzzRuns } from './testing/fuzz-runs.ts';
import { edge } from './testing/header-edges.ts';
import { readVmcore, type Vmcore } from './vmcore.ts';

/** What `read` gives, or the VmcoreError that it threw; any other error is the test's failure. */
function answer<T>(read: () => T): T | VmcoreError {
  try {
    return read();
  } catch (error) {
    if (error instanceof VmcoreError) return error;
    throw error;
  }
}

/** So many files are opened that a cache of the usual size would take most of the time. */
const SMALL = { cachePages: 64 };

/** Reads all that a caller would look at; the bytes must yield an answer everywhere. */
function exercise(bytes: Uint8Array): void {
  const core = answer(() => readVmcore(bytes, SMALL));
  if (core instanceof VmcoreError) {
    expect(core.message.length).toBeLessThan(1000);
    return;
  }
  expectWithinFile(core, bytes);
  answer(() => pagingRegistersOf(core));
  answer(() => resolveKernelRoot(core));
  const ends = core.segments.slice(0, 50).flatMap(({ start, end }) => [start, gpa(end - 1)]);
  expect(ends.filter((address) => core.memory.page(frameOf(address))?.length !== 1024)).toEqual([]);
  for (const frame of [0, 1, 2 ** 20, 2 ** 40 - 1]) core.memory.page(gfn(frame));
}

function expectWithinFile({ notes }: Vmcore, bytes: Uint8Array): void {
  const size = bytes.length;
  const { segments } = readSegments(readProgramHeaders(bytesSource(bytes)), size);
  const isWrong = ({ start, end, fileOffset }: ElfSegment, index: number) =>
    start < (segments[index - 1]?.end ?? 0) || end <= start || fileOffset + (end - start) > size;
  expect(segments.filter(isWrong)).toEqual([]);
  expect(notes.filter(({ offset, descriptor }) => offset + descriptor.length > size)).toEqual([]);
}

describe('any bytes', () => {
  it('at random are refused or read', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 600 }), exercise));
  });

  it('after a valid beginning are refused or read', () => {
    const beginning = buildCore({}).subarray(0, 64);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 4000, size: 'max' }), fc.nat(80), (rest, phnum) => {
        const bytes = new Uint8Array(64 + rest.length);
        bytes.set(beginning);
        bytes.set(rest, 64);
        bytes[56] = phnum;
        exercise(bytes);
      }),
      { numRuns: fuzzRuns(100) },
    );
  });

  it('of a small core with fields overwritten are refused or read', () => {
    const loads = [0, 0x5000, 0x9000].map((address) => ({ address, bytes: new Uint8Array(4096) }));
    const core = buildCore({ notes: [qemuNote()], loads, extended: true });
    const headers = 64 + 4 * 56 + 64 + 40;
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(headers / 4 - 1), edge, fc.boolean()), { minLength: 1, maxLength: 4 }),
        (changes) => {
          const bytes = core.slice();
          const view = new DataView(bytes.buffer);
          for (const [word, value, wide] of changes) {
            if (wide) view.setBigUint64(word * 4, value, true);
            else view.setUint32(word * 4, Number(value & 0xffffffffn), true);
          }
          exercise(bytes);
        },
      ),
      { numRuns: fuzzRuns(1000) },
    );
  });

  it('of real cores, mutated or cut short, are refused or read', () => {
    const cores = fixtureNames.slice(0, 3).map((name) => inflatedFixture(`${name}.elf.gz`));
    fc.assert(
      fc.property(
        fc.nat(cores.length - 1),
        fc.array(fc.tuple(fc.nat(0x2000), edge), { maxLength: 6 }),
        fc.option(fc.double({ min: 0, max: 1, noNaN: true })),
        (which, changes, cut) => {
          const core = cores[which] ?? Buffer.alloc(0);
          const bytes = new Uint8Array(core.length);
          bytes.set(core);
          const view = new DataView(bytes.buffer);
          for (const [at, value] of changes) view.setBigUint64(at, value, true);
          exercise(cut === null ? bytes : bytes.subarray(0, Math.floor(cut * bytes.length)));
        },
      ),
      { numRuns: fuzzRuns(150) },
    );
  });

  it('that claim enormous memory take little of it', () => {
    const bytes = buildCore({ notes: [qemuNote()], loads: [{ address: 0, bytes: new Uint8Array(16) }] });
    const view = new DataView(bytes.buffer);
    view.setBigUint64(64 + 56 + 40, 2n ** 52n, true);
    const { memory } = readVmcore(bytes);
    expect(memory.page(gfn(0))?.[0]).toBe(0);
    const distinct = new Set(Array.from({ length: 20_000 }, (_, i) => memory.page(gfn(1 + i * 50_000_000))));
    expect([...distinct]).toEqual([undefined]);
  });
});
