/** What of an instruction has to change when it is moved. Offsets are from its first byte. */
export interface X86Instruction {
  readonly length: number;
  /** Its opcode; of the second map 0x0f00 and the byte. */
  readonly opcode: number;
  /** Where the distance of a branch stands, and its bytes. */
  readonly branch: { readonly offset: number; readonly size: 1 | 4 } | undefined;
  /** Where the 32-bit distance of an operand relative to RIP stands. */
  readonly relative: number | undefined;
}

const LONGEST = 15;

/** Sets of opcodes, as a bit for each of a map of 256. */
function opcodes(...ranges: readonly (number | readonly [first: number, last: number])[]): Uint8Array {
  const set = new Uint8Array(256);
  for (const range of ranges) {
    const [first, last] = typeof range === 'number' ? [range, range] : range;
    set.fill(1, first, last + 1);
  }
  return set;
}
/** The eight columns of arithmetic: ADD, OR, ADC, SBB, AND, SUB, XOR, CMP. */
const arithmetic = (column: number): number[] => Array.from({ length: 8 }, (_, row) => row * 8 + column);

/** SDM 2D, appendix A.3, in 64-bit mode. */
const ONE_BYTE = {
  modrm: opcodes(
    ...[0, 1, 2, 3].flatMap(arithmetic),
    ...[
      0x63,
      0x69,
      0x6b,
      [0x80, 0x8f],
      0xc0,
      0xc1,
      0xc6,
      0xc7,
      [0xd0, 0xd3],
      [0xd8, 0xdf],
      0xf6,
      0xf7,
      0xfe,
      0xff,
    ].map((range) => range as number | readonly [number, number]),
  ),
  byte: opcodes(
    ...arithmetic(4),
    0x6a,
    0x6b,
    [0x70, 0x80],
    0x83,
    0xa8,
    [0xb0, 0xb7],
    0xc0,
    0xc1,
    0xc6,
    0xcd,
    [0xe0, 0xe7],
    0xeb,
  ),
  full: opcodes(...arithmetic(5), 0x68, 0x69, 0x81, 0xa9, [0xb8, 0xbf], 0xc7, 0xe8, 0xe9),
  prefix: opcodes(0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3),
  none: opcodes(
    0x06,
    0x07,
    0x0e,
    0x16,
    0x17,
    0x1e,
    0x1f,
    0x27,
    0x2f,
    0x37,
    0x3f,
    [0x60, 0x61],
    0x82,
    0x9a,
    [0xd4, 0xd6],
    0xea,
  ),
};
const TWO_BYTES = {
  plain: opcodes(
    [0x05, 0x09],
    0x0b,
    0x0e,
    [0x30, 0x37],
    0x77,
    [0x80, 0x8f],
    [0xa0, 0xa2],
    [0xa8, 0xaa],
    [0xc8, 0xcf],
  ),
  byte: opcodes([0x70, 0x73], 0xa4, 0xac, 0xba, 0xc2, [0xc4, 0xc6]),
};

/**
 * Decodes the instruction at `at`, as far as moving it needs: of 64-bit code, with VEX and EVEX; `undefined` when it does not end in `code`, is longer than
 * 15 bytes or has an opcode that there is not.
 */
export function decodeInstruction(code: Uint8Array, at = 0): X86Instruction | undefined {
  let next = at;
  let is16 = false;
  let isWide = false;
  // REX counts directly before the opcode alone.
  for (let byte = code[next] ?? 0; ONE_BYTE.prefix[byte] === 1 || isRex(byte); byte = code[++next] ?? 0) {
    is16 ||= byte === 0x66;
    isWide = isRex(byte) && (byte & 8) !== 0;
    if (next - at >= LONGEST) return undefined;
  }
  let first = code[next++] ?? 0;
  let map = 1;
  if (first === 0x0f) {
    map = 2;
    first = code[next++] ?? 0;
    if (first === 0x38 || first === 0x3a) {
      map = first === 0x38 ? 3 : 4;
      first = code[next++] ?? 0;
    }
  } else if (first === 0xc5 || first === 0xc4 || first === 0x62) {
    const field = first === 0xc5 ? 1 : (code[next] ?? 0) & 7;
    next += first === 0xc5 ? 1 : first === 0xc4 ? 2 : 3;
    if (field < 1 || field > 3) return undefined;
    map = field + 1;
    first = code[next++] ?? 0;
  }
  if (map === 1 && ONE_BYTE.none[first] === 1) return undefined;
  const hasModrm = map === 1 ? ONE_BYTE.modrm[first] === 1 : map === 2 ? TWO_BYTES.plain[first] !== 1 : true;
  let relative: number | undefined;
  let register = 0;
  if (hasModrm) {
    const modrm = code[next++] ?? 0;
    register = (modrm >> 3) & 7;
    const [mode, rm] = [modrm >> 6, modrm & 7];
    let base = rm;
    if (mode !== 3 && rm === 4) base = (code[next++] ?? 0) & 7;
    if (mode === 0 && rm === 5) relative = next - at;
    if (mode === 1) next += 1;
    else if (mode === 2 || (mode === 0 && base === 5)) next += 4;
  }
  const immediate = immediateBytes(map, first, { is16, isWide, register });
  const branchSize = branchBytes(map, first);
  const branch = branchSize === undefined ? undefined : { offset: next - at, size: branchSize };
  const length = next + immediate - at;
  if (length > LONGEST || at + length > code.length) return undefined;
  return { length, opcode: map === 1 ? first : map === 2 ? 0x0f00 + first : 0, branch, relative };
}

function isRex(byte: number): boolean {
  return (byte & 0xf0) === 0x40;
}

function branchBytes(map: number, opcode: number): 1 | 4 | undefined {
  if (map === 2) return opcode >= 0x80 && opcode <= 0x8f ? 4 : undefined;
  if (map !== 1) return undefined;
  if ((opcode >= 0x70 && opcode <= 0x7f) || (opcode >= 0xe0 && opcode <= 0xe3) || opcode === 0xeb) return 1;
  return opcode === 0xe8 || opcode === 0xe9 ? 4 : undefined;
}

function immediateBytes(
  map: number,
  opcode: number,
  { is16, isWide, register }: { readonly is16: boolean; readonly isWide: boolean; readonly register: number },
): number {
  if (map === 4) return 1;
  if (map === 3) return 0;
  if (map === 2) return opcode >= 0x80 && opcode <= 0x8f ? 4 : (TWO_BYTES.byte[opcode] ?? 0);
  if (opcode === 0xc8) return 3;
  if (opcode === 0xc2 || opcode === 0xca) return 2;
  if (opcode >= 0xa0 && opcode <= 0xa3) return 8;
  if (opcode >= 0xb8 && opcode <= 0xbf && isWide) return 8;
  // TEST has an immediate, its neighbours NOT to IDIV have none.
  if (opcode === 0xf6 || opcode === 0xf7) return register > 1 ? 0 : opcode === 0xf6 ? 1 : is16 ? 2 : 4;
  if (ONE_BYTE.byte[opcode] === 1) return 1;
  if (ONE_BYTE.full[opcode] !== 1) return 0;
  return is16 && opcode !== 0xe8 && opcode !== 0xe9 ? 2 : 4;
}
