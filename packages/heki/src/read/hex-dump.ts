import { PAGE_SIZE, type VirtualAddress, virtualAddress } from '@heki/physical-memory';
import type { VirtualMemory } from '@heki/vmcore';
import { hex16 } from '../hex.ts';

/** Bytes that follow each other; without them, what cannot be read. */
export interface Stretch {
  readonly address: VirtualAddress;
  readonly length: number;
  readonly bytes: Uint8Array | undefined;
}

const PER_LINE = 16;

/** `length` bytes from `address` on, cut where what can be read meets what cannot. */
export function readStretches(memory: VirtualMemory, address: VirtualAddress, length: number): Stretch[] {
  const stretches: { address: VirtualAddress; length: number; bytes: Uint8Array | undefined }[] = [];
  for (let done = 0; done < length; ) {
    const at = virtualAddress(address + BigInt(done));
    const part = Math.min(length - done, PAGE_SIZE - Number(at % BigInt(PAGE_SIZE)));
    const bytes = memory.read(at, part);
    const last = stretches.at(-1);
    if (last !== undefined && (last.bytes === undefined) === (bytes === undefined)) {
      last.length += part;
      if (last.bytes !== undefined && bytes !== undefined) last.bytes = joined(last.bytes, bytes);
    } else stretches.push({ address: at, length: part, bytes });
    done += part;
  }
  return stretches;
}

/** Lines of 16 bytes: address, hexadecimal, and what prints. */
export function* hexLines(bytes: Uint8Array, address: VirtualAddress): Generator<string> {
  for (let at = 0; at < bytes.length; at += PER_LINE) {
    const line = bytes.subarray(at, at + PER_LINE);
    const digits = Array.from(line, byteText);
    const halves = [digits.slice(0, 8).join(' '), digits.slice(8).join(' ')].join('  ');
    const letters = Array.from(line, (byte) =>
      byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.',
    ).join('');
    yield `${hex16(address + BigInt(at))}  ${halves.padEnd(48)}  ${letters}`;
  }
}

/** `48 89 e5`. */
export function bytesInHex(bytes: Uint8Array): string {
  return Array.from(bytes, byteText).join(' ');
}

function byteText(byte: number): string {
  return byte.toString(16).padStart(2, '0');
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array {
  const all = new Uint8Array(a.length + b.length);
  all.set(a);
  all.set(b, a.length);
  return all;
}
