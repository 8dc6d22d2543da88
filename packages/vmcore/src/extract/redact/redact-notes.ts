import {
  CONTROL_REGISTERS_AT,
  PRSTATUS_PID,
  PRSTATUS_REGISTERS,
  PRSTATUS_REGISTERS_AT,
  PRSTATUS_SIZE,
  QEMU_REGISTERS,
  REGISTERS_AT,
  SEGMENT_SIZE,
  SEGMENTS,
  SEGMENTS_AT,
} from '../../cpu-note.ts';
import type { Note } from '../../note.ts';
import { parseVmcoreinfo } from '../../vmcoreinfo.ts';

/** Where things are after the redaction. */
export interface AddressChange {
  /** An address of the kernel's half. */
  virtual(address: bigint): bigint;
  physical(address: bigint): bigint;
  /** The C-bit, where memory encryption is on: CR3 has it beside the address. */
  readonly encryptionBit: number | undefined;
}

/** `__START_KERNEL_map`, from which `phys_base` counts. */
const START_KERNEL_MAP = 0xffff_ffff_8000_0000n;

/** What readers of a dump need of VMCOREINFO to find the kernel's tables, text and data; the rest tells which kernel it is. */
const KEPT_SYMBOLS = ['_stext', 'init_uts_ns', 'swapper_pg_dir'];
const KEPT_NUMBERS = ['pgtable_l5_enabled', 'sme_mask'];
/** Of the flags, those of the CPU's mode: bit 1 (always set), IF and AC. */
const KEPT_FLAGS = (1n << 1n) | (1n << 9n) | (1n << 18n);

/**
 * The notes with nothing in them but the mode that each CPU was in, its control registers, and what leads to the kernel's
 * tables. General registers and bases are addresses or contents, and read zero. Notes of other kinds are dropped.
 */
export function redactNotes(notes: readonly Note[], change: AddressChange): Note[] {
  let threads = 0;
  return notes.flatMap((note) => {
    switch (note.name) {
      case 'QEMU':
        return [{ ...note, descriptor: redactCpu(note.descriptor, change) }];
      case 'CORE':
        return [{ ...note, descriptor: redactThread(note.descriptor, ++threads) }];
      case 'VMCOREINFO':
        return [{ ...note, descriptor: redactInfo(note.descriptor, change) }];
      default:
        return [];
    }
  });
}

function redactCpu(descriptor: Uint8Array, { physical, encryptionBit }: AddressChange): Uint8Array {
  const from = viewOf(descriptor);
  const kept = new Uint8Array(descriptor.length);
  const view = viewOf(kept);
  // Version and size of the note.
  kept.set(descriptor.subarray(0, REGISTERS_AT));
  const flagsAt = REGISTERS_AT + QEMU_REGISTERS.indexOf('rflags') * 8;
  view.setBigUint64(flagsAt, from.getBigUint64(flagsAt, true) & KEPT_FLAGS, true);
  for (const name of ['cs', 'ss'] as const) {
    const at = SEGMENTS_AT + SEGMENTS.indexOf(name) * SEGMENT_SIZE;
    // Selector, limit and access rights; the base comes last.
    kept.set(descriptor.subarray(at, at + 12), at);
  }
  const cr3 = from.getBigUint64(CONTROL_REGISTERS_AT + 3 * 8, true);
  const cBit = encryptionBit === undefined ? 0n : 1n << BigInt(encryptionBit);
  const table = BigInt.asUintN(52, cr3) & ~0xfffn & ~cBit;
  for (const [number, value] of [
    [0, from.getBigUint64(CONTROL_REGISTERS_AT, true)],
    [3, cr3 - table + physical(table)],
    [4, from.getBigUint64(CONTROL_REGISTERS_AT + 4 * 8, true)],
  ] as const) {
    view.setBigUint64(CONTROL_REGISTERS_AT + number * 8, value, true);
  }
  return kept;
}

function redactThread(descriptor: Uint8Array, number: number): Uint8Array {
  const from = viewOf(descriptor);
  const kept = new Uint8Array(PRSTATUS_SIZE);
  const view = viewOf(kept);
  view.setUint32(PRSTATUS_PID, number, true);
  for (const [name, mask] of [
    ['cs', 0xffffn],
    ['rflags', KEPT_FLAGS],
    ['ss', 0xffffn],
  ] as const) {
    const at = PRSTATUS_REGISTERS_AT + PRSTATUS_REGISTERS.indexOf(name) * 8;
    view.setBigUint64(at, from.getBigUint64(at, true) & mask, true);
  }
  return kept;
}

function redactInfo(descriptor: Uint8Array, change: AddressChange): Uint8Array {
  const info = parseVmcoreinfo(new TextDecoder('latin1').decode(descriptor));
  const lines: string[] = [];
  for (const name of KEPT_SYMBOLS) {
    const address = info.symbol(name);
    if (address !== undefined) lines.push(`SYMBOL(${name})=${change.virtual(address).toString(16)}`);
  }
  const physBase = info.number('phys_base');
  if (physBase !== undefined) {
    // By any symbol of the image: all of it moves together.
    const image = info.symbol('_stext') ?? info.symbol('swapper_pg_dir') ?? START_KERNEL_MAP;
    const physical = change.physical(image - START_KERNEL_MAP + physBase);
    lines.push(`NUMBER(phys_base)=${physical - (change.virtual(image) - START_KERNEL_MAP)}`);
  }
  for (const name of KEPT_NUMBERS) {
    const value = info.number(name);
    if (value !== undefined) lines.push(`NUMBER(${name})=${value}`);
  }
  return new TextEncoder().encode(`${lines.join('\n')}\n`);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
