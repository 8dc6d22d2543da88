import { PAGE_SIZE } from '../address.ts';

/** Memory as anyone would first write it: one byte at a time, a missing one being absent. */
export class ByteMemory {
  readonly bytes = new Map<number, number>();

  /** Makes the page at `frame` present, reading zero. */
  addPage(frame: number): void {
    for (let offset = 0; offset < PAGE_SIZE; offset++) this.bytes.set(frame * PAGE_SIZE + offset, 0);
  }

  read(address: number, length: number): number[] {
    const read: number[] = [];
    for (let at = address; at < address + length; at++) {
      const byte = this.bytes.get(at);
      if (byte === undefined) break;
      read.push(byte);
    }
    return read;
  }

  write(address: number, source: readonly number[]): number {
    for (const [index, byte] of source.entries()) {
      if (!this.bytes.has(address + index)) return index;
      this.bytes.set(address + index, byte);
    }
    return source.length;
  }
}
