/** A PT_LOAD to build: `bytes` at physical address `address`, `memorySize` (default their number) in memory. */
interface LoadPart {
  readonly address: number | bigint;
  readonly bytes: Uint8Array;
  readonly memorySize?: number | bigint;
  readonly virtualAddress?: bigint;
}

export interface NotePart {
  readonly name: string;
  readonly type?: number;
  readonly descriptor: Uint8Array;
}

/** How the core to build departs from a plain one. */
export interface CoreParts {
  readonly loads?: readonly LoadPart[];
  readonly notes?: readonly NotePart[];
  /** Bytes between the headers and the first PT_LOAD, so that nothing is aligned by chance. */
  readonly gap?: number;
  /** Puts the number of program headers into section header 0, as cores with 65,535 and more of them have it. */
  readonly extended?: boolean;
}

const encoder = new TextEncoder();

/** An ELF core of the shape that QEMU writes: header, program headers, notes, memory. */
export function buildCore({ loads = [], notes = [], gap = 0, extended = false }: CoreParts): Uint8Array {
  const noteBytes = concat(notes.map(noteOf));
  const count = loads.length + 1;
  const notesAt = 64 + count * 56 + (extended ? 64 : 0);
  let at = notesAt + noteBytes.length + gap;
  const header = new Uint8Array(notesAt);
  const view = new DataView(header.buffer);
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  view.setUint16(16, 4, true);
  view.setUint16(18, 62, true);
  view.setUint32(20, 1, true);
  view.setBigUint64(32, 64n, true);
  view.setUint16(52, 64, true);
  view.setUint16(54, 56, true);
  view.setUint16(56, extended ? 0xffff : count, true);
  if (extended) {
    view.setBigUint64(40, BigInt(notesAt - 64), true);
    view.setUint16(58, 64, true);
    view.setUint32(notesAt - 64 + 44, count, true);
  }
  programHeader(view, 0, 4, notesAt, 0n, BigInt(noteBytes.length), BigInt(noteBytes.length));
  for (const [index, load] of loads.entries()) {
    const { address, bytes, memorySize = bytes.length, virtualAddress = 0n } = load;
    view.setBigUint64(64 + (index + 1) * 56 + 16, virtualAddress, true);
    programHeader(view, index + 1, 1, at, BigInt(address), BigInt(bytes.length), BigInt(memorySize));
    at += bytes.length;
  }
  return concat([header, noteBytes, new Uint8Array(gap), ...loads.map(({ bytes }) => bytes)]);
}

function programHeader(
  view: DataView,
  index: number,
  type: number,
  offset: number,
  address: bigint,
  fileSize: bigint,
  memorySize: bigint,
): void {
  const at = 64 + index * 56;
  view.setUint32(at, type, true);
  view.setBigUint64(at + 8, BigInt(offset), true);
  view.setBigUint64(at + 24, address, true);
  view.setBigUint64(at + 32, fileSize, true);
  view.setBigUint64(at + 40, memorySize, true);
}

function noteOf({ name, type = 0, descriptor }: NotePart): Uint8Array {
  const nameBytes = encoder.encode(`${name}\0`);
  const descriptorAt = 12 + padded(nameBytes.length);
  const bytes = new Uint8Array(descriptorAt + padded(descriptor.length));
  const view = new DataView(bytes.buffer);
  view.setUint32(0, nameBytes.length, true);
  view.setUint32(4, descriptor.length, true);
  view.setUint32(8, type, true);
  bytes.set(nameBytes, 12);
  bytes.set(descriptor, descriptorAt);
  return bytes;
}

const padded = (length: number): number => Math.ceil(length / 4) * 4;

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** A `QEMU` note in which every field tells its place, but for what `control` says of CR0, CR3 and CR4. */
export function qemuNote(control: { cr0?: bigint; cr3?: bigint; cr4?: bigint; cs?: number } = {}): NotePart {
  const descriptor = new Uint8Array(440);
  const view = new DataView(descriptor.buffer);
  view.setUint32(0, 1, true);
  view.setUint32(4, 440, true);
  for (let index = 0; index < 18; index++) view.setBigUint64(8 + index * 8, BigInt(0x100 + index), true);
  for (let index = 0; index < 10; index++) {
    const at = 152 + index * 24;
    view.setUint32(at, index === 0 ? (control.cs ?? 0x10) : index, true);
    view.setUint32(at + 4, 0x1000 + index, true);
    view.setUint32(at + 8, 0x2000 + index, true);
    view.setBigUint64(at + 16, 0xffff_0000_0000_0000n + BigInt(index), true);
  }
  const { cr0 = 0x8005_0033n, cr3 = 0x1000n, cr4 = 0x20n } = control;
  for (const [index, value] of [cr0, 1n, 2n, cr3, cr4, 5n].entries()) {
    view.setBigUint64(392 + index * 8, value, true);
  }
  return { name: 'QEMU', descriptor };
}

/** A `VMCOREINFO` note with this text. */
export function vmcoreinfoNote(text: string): NotePart {
  return { name: 'VMCOREINFO', descriptor: encoder.encode(text) };
}
