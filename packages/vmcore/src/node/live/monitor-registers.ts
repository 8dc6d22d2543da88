import {
  CONTROL_REGISTERS_AT,
  QEMU_NOTE_SIZE,
  QEMU_REGISTERS,
  REGISTERS_AT,
  SEGMENT_SIZE,
  SEGMENTS,
  SEGMENTS_AT,
} from '../../cpu-note.ts';
import { VmcoreError } from '../../error.ts';
import type { Note } from '../../note.ts';

/** The registers of every CPU as QEMU's monitor prints them (`info registers -a`), as the notes that a dump would have. */
export function notesOfRegisters(text: string): Note[] {
  const cpus = text.split(/^CPU#\d+/m).slice(1);
  if (cpus.length === 0) throw new VmcoreError('QEMU tells of no CPU (info registers -a)');
  return cpus.map(noteOf);
}

/** A CPU that is not in 64-bit mode has eight registers of 32 bits, EAX and so on. */
function noteOf(cpu: string, index: number): Note {
  const descriptor = new Uint8Array(QEMU_NOTE_SIZE);
  const view = new DataView(descriptor.buffer);
  view.setUint32(0, 1, true);
  view.setUint32(4, QEMU_NOTE_SIZE, true);

  const value = (name: string): bigint => {
    const [, found] = new RegExp(`\\b${name} *=([0-9a-f]+)`).exec(cpu) ?? [];
    if (found !== undefined) return BigInt(`0x${found}`);
    throw new VmcoreError(`QEMU prints no ${name} of CPU ${index} (info registers -a)`);
  };
  for (const [place, name] of QEMU_REGISTERS.entries()) {
    const upper = name === 'rflags' ? 'RFL' : name.toUpperCase();
    const isMissing = /^R\d/.test(upper) && !/\bR8 *=/.test(cpu);
    const found = isMissing ? 0n : value(upper.replace(/^R(?!\d)/, '[RE]'));
    view.setBigUint64(REGISTERS_AT + place * 8, found, true);
  }
  for (const [place, name] of SEGMENTS.entries()) {
    const at = SEGMENTS_AT + place * SEGMENT_SIZE;
    const pattern = new RegExp(
      `^${name.toUpperCase()} *= *(?:([0-9a-f]{4}) )?([0-9a-f]+) ([0-9a-f]{8})(?: ([0-9a-f]{8}))?`,
      'm',
    );
    const [, selector = '0', base = '', limit = '', flags = '0'] = pattern.exec(cpu) ?? [];
    if (base === '')
      throw new VmcoreError(`QEMU prints no ${name.toUpperCase()} of CPU ${index} (info registers -a)`);
    view.setUint32(at, Number.parseInt(selector, 16), true);
    view.setUint32(at + 4, Number.parseInt(limit, 16), true);
    view.setUint32(at + 8, Number.parseInt(flags, 16), true);
    view.setBigUint64(at + 16, BigInt(`0x${base}`), true);
  }
  for (const number of [0, 2, 3, 4]) {
    view.setBigUint64(CONTROL_REGISTERS_AT + number * 8, value(`CR${number}`), true);
  }
  return { name: 'QEMU', nameBytes: Uint8Array.from(Buffer.from('QEMU\0')), type: 0, offset: 0, descriptor };
}
