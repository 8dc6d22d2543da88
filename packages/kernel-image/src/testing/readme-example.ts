import {
  bzImagePayload,
  decompressLz4Legacy,
  isBzImage,
  moveImage,
  parseVmlinux,
  segmentAt,
} from '@heki/kernel-image';
import { hex, virtualAddress } from '@heki/physical-memory';

/** The kernel in the bytes of a /boot/vmlinuz-*, as it lies in memory where KASLR moved it. */
export function kernelAt(vmlinuz: Uint8Array, kaslrOffset: number) {
  if (!isBzImage(vmlinuz)) throw new Error('expected a bzImage');
  const { compression, bytes, unpackedBytes } = bzImagePayload(vmlinuz);
  if (compression !== 'lz4') throw new Error(`unpack ${compression} yourself`);
  const vmlinux = new Uint8Array(unpackedBytes);
  decompressLz4Legacy(bytes, vmlinux);
  return moveImage(parseVmlinux(vmlinux), kaslrOffset);
}

// The same last step on a kernel of 16 bytes, the second half of which is a pointer into itself.
const linked = 0xffff_ffff_8100_0000n;
const bytes = new Uint8Array(16);
new DataView(bytes.buffer).setBigUint64(8, linked + 4n, true);
const moved = moveImage(
  {
    segments: [{ address: virtualAddress(linked), bytes, kind: 'text' }],
    sections: [],
    relocations: {
      // Places are the low 32 bits of addresses, as numbers with a sign.
      words: Int32Array.of(0x8100_0008 | 0),
      halves: new Int32Array(0),
      inverse: new Int32Array(0),
    },
    release: undefined,
    buildId: undefined,
  },
  0x1e60_0000,
);
const text = segmentAt(moved, linked + 0x1e60_0000n, 16);
console.log(`runs at ${hex(text?.address ?? 0n)}`);
console.log(
  `its pointer: ${hex(new DataView(text?.bytes.buffer ?? new ArrayBuffer(16)).getBigUint64(8, true))}`,
);
