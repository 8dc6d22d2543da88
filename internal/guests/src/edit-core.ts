/** Edits of a small ELF core in place, for what QEMU cannot make. */
export interface EditableCore {
  /** Adds bits to CR4 in every note of QEMU. */
  setCr4(bits: bigint): void;
  /** Adds bits to CR3 in every note of QEMU. */
  setCr3(bits: bigint): void;
  /** Gives each 64-bit entry of every page that the core holds to `change`, and takes what it returns. */
  changeEntries(change: (entry: bigint) => bigint): void;
  /** Replaces a line of VMCOREINFO; lines of `spare` make room. */
  setVmcoreinfo(key: string, value: string, spare: readonly string[]): void;
}

const [PT_LOAD, PT_NOTE] = [1, 4];
/** Where CR0 to CR4 stand in QEMU's note: behind version, size, 18 registers and 10 segments. */
const CONTROL_REGISTERS = 8 + 18 * 8 + 10 * 24;

/** `bytes`, which change. */
export function editCore(bytes: Buffer): EditableCore {
  const headers = programHeaders(bytes);
  const notes = headers
    .filter(({ type }) => type === PT_NOTE)
    .flatMap(({ at, size }) => notesIn(bytes, at, size));
  const addToControlRegister = (number: number, bits: bigint): void => {
    for (const { at } of notes.filter(({ name }) => name === 'QEMU')) {
      const place = at + CONTROL_REGISTERS + number * 8;
      bytes.writeBigUInt64LE(bytes.readBigUInt64LE(place) | bits, place);
    }
  };
  return {
    setCr4: (bits) => addToControlRegister(4, bits),
    setCr3: (bits) => addToControlRegister(3, bits),
    changeEntries(change) {
      for (const { type, at, size } of headers) {
        if (type !== PT_LOAD) continue;
        for (let place = at; place < at + size; place += 8) {
          bytes.writeBigUInt64LE(change(bytes.readBigUInt64LE(place)), place);
        }
      }
    },
    setVmcoreinfo(key, value, spare) {
      const note = notes.find(({ name }) => name === 'VMCOREINFO');
      if (note === undefined) throw new Error('no VMCOREINFO in this core');
      const lines = bytes.toString('latin1', note.at, note.at + note.size).split('\n');
      const kept = lines.filter((line) => !spare.includes(line.split('=')[0] ?? ''));
      const text = kept.map((line) => (line.startsWith(`${key}=`) ? `${key}=${value}` : line)).join('\n');
      if (text.length > note.size || !text.includes(`${key}=${value}`)) throw new Error(`no room for ${key}`);
      bytes.write(text.padEnd(note.size, '\n'), note.at, 'latin1');
    },
  };
}

function programHeaders(
  bytes: Buffer,
): { readonly type: number; readonly at: number; readonly size: number }[] {
  const table = Number(bytes.readBigUInt64LE(32));
  return Array.from({ length: bytes.readUInt16LE(56) }, (_, index) => {
    const header = table + index * 56;
    return {
      type: bytes.readUInt32LE(header),
      at: Number(bytes.readBigUInt64LE(header + 8)),
      size: Number(bytes.readBigUInt64LE(header + 32)),
    };
  });
}

function notesIn(
  bytes: Buffer,
  start: number,
  length: number,
): { readonly name: string; readonly at: number; readonly size: number }[] {
  const padded = (size: number) => Math.ceil(size / 4) * 4;
  const notes = [];
  for (let note = start; note < start + length; ) {
    const nameSize = bytes.readUInt32LE(note);
    const size = bytes.readUInt32LE(note + 4);
    const at = note + 12 + padded(nameSize);
    notes.push({ name: bytes.toString('latin1', note + 12, note + 11 + nameSize), at, size });
    note = at + padded(size);
  }
  return notes;
}
