import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { blobSource } from './blob-source.ts';
import { VmcoreError } from './error.ts';
import { openVmcore } from './node/open-vmcore.ts';
import { fixturePath, inflatedFixture } from './testing/fixtures.ts';
import { readVmcore } from './vmcore.ts';

/** What a `Blob` of `bytes` is to a worker; FileReaderSync is in browsers alone. */
class HeldBlob {
  readonly size: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.bytes = bytes;
    this.size = bytes.length;
  }
  slice(start: number, end: number): HeldBlob {
    return new HeldBlob(this.bytes.slice(start, end));
  }
}
const reader = { readAsArrayBuffer: ({ bytes }: HeldBlob) => bytes.buffer };

describe('a Blob', () => {
  it('gives the bytes that it has, wherever they are asked for', () => {
    const bytes = Uint8Array.from({ length: 700_000 }, (_, i) => (i * 7) % 251);
    const source = blobSource(new HeldBlob(bytes), reader);
    fc.assert(
      fc.property(fc.nat(bytes.length), fc.nat(300_000), (offset, length) => {
        const target = new Uint8Array(length);
        if (offset + length > bytes.length) {
          expect(() => source.read(offset, target)).toThrow(VmcoreError);
          return;
        }
        source.read(offset, target);
        expect(Buffer.compare(target, bytes.subarray(offset, offset + length))).toBe(0);
      }),
    );
  });

  it('is read as the file that it is', () => {
    const bytes = new Uint8Array(inflatedFixture('k61-256-nokaslr.elf.gz'));
    const core = readVmcore(blobSource(new HeldBlob(bytes), reader));
    const file = openVmcore(fixturePath('k61-256-nokaslr.elf.gz'));
    expect(core.cpus).toEqual(file.cpus);
    for (const { start } of file.segments) {
      const frame = Math.floor(start / 4096) as Parameters<typeof file.memory.page>[0];
      expect(core.memory.page(frame)).toEqual(file.memory.page(frame));
    }
  });

  it('that cannot be read gives an error, and not absent pages', () => {
    const gone = {
      readAsArrayBuffer() {
        throw new Error('NotReadableError');
      },
    };
    const bytes = new Uint8Array(inflatedFixture('k61-256-nokaslr.elf.gz'));
    let fails = false;
    const source = blobSource(new HeldBlob(bytes), {
      readAsArrayBuffer: (blob) => (fails ? gone.readAsArrayBuffer() : reader.readAsArrayBuffer(blob)),
    });
    const core = readVmcore(source);
    fails = true;
    const last = core.segments.at(-1)?.start ?? 0;
    expect(() => core.memory.page(Math.floor(last / 4096) as never)).toThrow('cannot be read');
  });
});
