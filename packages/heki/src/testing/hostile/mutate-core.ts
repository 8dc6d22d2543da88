import { gzipSync } from 'node:zlib';
import type { Random } from './random.ts';

/** Values that fields of headers break on. */
const EDGES = [
  0n,
  1n,
  0xffn,
  0xffffn,
  0x1_0000n,
  0x7fff_ffffn,
  0xffff_ffffn,
  1n << 40n,
  (1n << 52n) - 0x1000n,
  1n << 52n,
  1n << 53n,
  1n << 63n,
  (1n << 64n) - 1n,
] as const;

/** A field: where it begins, and its bytes. */
type Field = readonly [at: number, size: 1 | 2 | 4 | 8];

const ELF_HEADER: readonly Field[] = [
  ...[0, 4, 5, 6, 7].map((at): Field => [at, 1]),
  ...[16, 18].map((at): Field => [at, 2]),
  [20, 4],
  ...[24, 32, 40].map((at): Field => [at, 8]),
  [48, 4],
  ...[52, 54, 56, 58, 60, 62].map((at): Field => [at, 2]),
];
const PROGRAM_HEADER: readonly Field[] = [
  [0, 4],
  [4, 4],
  ...[8, 16, 24, 32, 40, 48].map((at): Field => [at, 8]),
];
const NOTE: readonly Field[] = [0, 4, 8].map((at): Field => [at, 4]);

/** Every field of the ELF header, of the first program headers and of the first notes. */
function fieldsOf(core: Buffer): Field[] {
  const table = Number(core.readBigUInt64LE(32));
  const moved = (base: number, fields: readonly Field[]): Field[] =>
    fields.map(([at, size]) => [base + at, size]);
  const fields = [...ELF_HEADER];
  for (let index = 0; index < Math.min(4, core.readUInt16LE(56)); index++) {
    fields.push(...moved(table + index * 56, PROGRAM_HEADER));
  }
  let note = Number(core.readBigUInt64LE(table + 8));
  for (let index = 0; index < 3; index++) {
    fields.push(...moved(note, NOTE));
    const padded = (size: number): number => Math.ceil(size / 4) * 4;
    note += 12 + padded(core.readUInt32LE(note)) + padded(core.readUInt32LE(note + 4));
  }
  return fields;
}

/** Copies of `core`, each with one field of its headers at one edge: `every` one, or `one` of each field, of the next field the next. */
export function* coresWithEdges(core: Buffer, which: 'every' | 'one'): Generator<Buffer, void> {
  for (const [index, [at, size]] of fieldsOf(core).entries()) {
    const before = core.readUIntLE(at, Math.min(size, 6));
    const edges = [...EDGES, BigInt(before + 1), BigInt(Math.max(0, before - 1)), BigInt(core.length)];
    const values = [...new Set(edges.map((value) => BigInt.asUintN(size * 8, value)))];
    for (const edge of which === 'every' ? values : [values[index % values.length] ?? 0n]) {
      const copy = Buffer.from(core);
      for (let byte = 0; byte < size; byte++) copy[at + byte] = Number((edge >> BigInt(8 * byte)) & 0xffn);
      yield copy;
    }
  }
}

/** A copy of `core` with some fields, bytes, or words anywhere at an edge, or cut short; `pages` are where its tables lie. */
export function mutateCore(core: Buffer, pages: readonly number[], random: Random): Buffer {
  const fields = fieldsOf(core);
  let copy = Buffer.from(core);
  for (let left = 1 + random.nat(6); left > 0; left--) {
    random.of([
      () => {
        const [at, size] = fields[random.nat(fields.length)] ?? [0, 1];
        const edge = random.of(EDGES);
        for (let byte = 0; byte < size; byte++) copy[at + byte] = Number((edge >> BigInt(8 * byte)) & 0xffn);
      },
      () => {
        copy[random.nat(Math.min(copy.length, 8192))] = random.nat(256);
      },
      () => {
        // An entry anywhere that leads to one of the tables, or far away.
        const table = BigInt(pages[random.nat(pages.length)] ?? 0) | BigInt(random.nat(0x1000));
        const entry = random.nat(3) === 0 ? random.of(EDGES) | 0x63n : table;
        const at = Math.floor(random.nat(copy.length - 8) / 8) * 8;
        if (at + 8 <= copy.length) copy.writeBigUInt64LE(BigInt.asUintN(64, entry), at);
      },
      () => {
        if (random.nat(6) === 0) copy = copy.subarray(0, 64 + random.nat(copy.length - 64));
      },
    ])();
    if (copy.length < 20_000) break;
  }
  return copy;
}

/** `packed`, which is gzip, with bytes changed, cut short, or followed by others. */
export function mutateGzip(packed: Buffer, random: Random): Buffer {
  const copy = Buffer.from(packed);
  return random.of([
    () => copy.subarray(0, random.nat(copy.length)),
    () => {
      copy[random.nat(copy.length)] = random.nat(256);
      return copy;
    },
    () => {
      copy[random.nat(18)] = random.nat(256);
      return copy;
    },
    () => Buffer.concat([copy, copy.subarray(random.nat(copy.length))]),
    () => Buffer.concat([copy, Buffer.alloc(4096, random.nat(256))]),
    () => gzipSync(copy),
  ])();
}
