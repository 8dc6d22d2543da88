/** What an instruction of a compiled program does to the flow of control, or that it is a half of a blinded constant. */
export type JitInstruction = {
  /** Bytes. */
  readonly length: number;
} & (
  | { readonly does: 'compute' | Whole }
  /** `distance`: from the end of the instruction. */
  | { readonly does: 'branch' | 'jump' | 'call'; readonly distance: number }
  /** ADD of what lies at a displacement in the processor's own data: `add r64, gs:[displacement]`. */
  | { readonly does: 'add-own'; readonly displacement: number }
  /** `mov r10, imm32` and `xor r10, imm32`, the last four bytes being the constant; `wide`: 64 bits, sign-extended. */
  | { readonly does: 'constant' | 'unblind'; readonly wide: boolean; readonly small: boolean }
);

/** `landing`: ENDBR64, where IBT lets indirect branches lead. */
type Whole = 'nothing' | 'landing' | 'push-frame' | 'set-frame' | 'leave' | 'return' | 'trap';

/** Whole instructions: no-ops of Linux (`x86_nops`), ENDBR64, LFENCE, and what makes and leaves a frame. */
const WHOLE: readonly (readonly [Whole, ...number[]])[] = [
  ['landing', 0xf3, 0x0f, 0x1e, 0xfa],
  ['nothing', 0x90],
  ['nothing', 0x66, 0x90],
  ['nothing', 0x0f, 0x1f, 0x00],
  ['nothing', 0x0f, 0x1f, 0x40, 0x00],
  ['nothing', 0x0f, 0x1f, 0x44, 0x00, 0x00],
  ['nothing', 0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00],
  ['nothing', 0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00],
  ['nothing', 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
  ['nothing', 0x0f, 0xae, 0xe8],
  ['push-frame', 0x55],
  ['set-frame', 0x48, 0x89, 0xe5],
  ['leave', 0xc9],
  ['return', 0xc3],
  ['trap', 0xcc],
];

/**
 * Constants of 64 bits, which are Linux's own: what a load that may fail (BPF_PROBE_MEM) compares its address with. They are not blinded. 6.12 has
 * VSYSCALL_ADDR in R10, then how far the kernel's half is from it; with four levels of paging, and with five.
 */
const LIMITS: readonly (readonly number[])[] = [
  [0x49, 0xc7, 0xc2, 0x00, 0x00, 0x60, 0xff],
  [0x49, 0xba, 0x00, 0x00, 0x60, 0xff, 0xff, 0xff, 0xff, 0xff],
  [0x49, 0xba, 0x00, 0x00, 0xa0, 0x00, 0x00, 0x80, 0x00, 0x00],
  [0x49, 0xba, 0x00, 0x00, 0xa0, 0x00, 0x00, 0x00, 0x00, 0x01],
];
/** 6.1 adds the displacement of the load to it: MOV R11, TASK_SIZE_MAX + PAGE_SIZE + displacement. The upper half of what it moves. */
const LIMIT_OF_LOAD = [0x49, 0xbb];
const UPPER_LIMITS: ReadonlySet<number> = new Set([0x8000, 0x0100_0000]);
/** And ADD R11, displacement, before it. */
const ADD_DISPLACEMENT = [0x49, 0x81, 0xc3];

interface Shape {
  /** Operand in r/m. Default: both. */
  readonly rm?: 'register' | 'memory';
  /** What it writes beside what the architecture fixes. */
  readonly writes: 'rm' | 'reg' | 'both' | 'none';
  /** Bytes of the immediate: only beside a register, since a store of a constant would hold three bytes that are chosen, in a row. */
  readonly immediate?: 1 | 4;
  /** Opcode extensions that may be; without it ModRM.reg is a register. */
  readonly groups?: readonly number[];
  /** May have LOCK, with a memory operand. */
  readonly lock?: true;
  /** May have the prefix 66. */
  readonly word?: true;
}

const ALU: Shape = { writes: 'rm', lock: true };
const EXTEND: Shape = { writes: 'reg' };
const SHIFT: Shape = { writes: 'rm', rm: 'register', groups: [4, 5, 7] };
/** ADD, OR, AND, SUB, XOR, CMP. */
const IMMEDIATE = { writes: 'rm', rm: 'register', groups: [0, 1, 4, 5, 6, 7] } as const;

/** What has a ModRM byte, by opcode: 0x0fxx for two bytes. */
const SHAPES: ReadonlyMap<number, Shape> = new Map<number, Shape>([
  [0x01, ALU],
  [0x09, ALU],
  [0x21, ALU],
  [0x29, ALU],
  [0x31, ALU],
  [0x39, { writes: 'none' }],
  [0x63, EXTEND],
  [0x81, { ...IMMEDIATE, immediate: 4 }],
  [0x83, { ...IMMEDIATE, immediate: 1 }],
  [0x85, { writes: 'none', rm: 'register' }],
  [0x87, { writes: 'both', lock: true }],
  [0x88, { writes: 'none', rm: 'memory' }],
  [0x89, { writes: 'rm', word: true }],
  [0x8b, EXTEND],
  [0x8d, { writes: 'reg', rm: 'memory' }],
  [0xc1, { ...SHIFT, groups: [0, 1, 4, 5, 7], immediate: 1, word: true }],
  [0xc7, { writes: 'rm', rm: 'register', groups: [0], immediate: 4 }],
  [0xd1, SHIFT],
  [0xd3, SHIFT],
  // NEG; MUL, IMUL, DIV, IDIV write RAX and RDX.
  [0xf7, { writes: 'rm', rm: 'register', groups: [3, 4, 5, 6, 7] }],
  [0x0faf, { writes: 'reg', rm: 'register' }],
  [0x0fb1, { writes: 'none', rm: 'memory', lock: true }],
  [0x0fb6, EXTEND],
  [0x0fb7, EXTEND],
  [0x0fbe, EXTEND],
  [0x0fbf, EXTEND],
  [0x0fc1, { writes: 'both', rm: 'memory', lock: true }],
]);

const [RSP, RBP, R10] = [4, 5, 10];
/** Bytes of a frame of a program: MAX_BPF_STACK. */
const MOST_STACK = 512;
/** Displacements: locals of a program, and fields of structures. Beside zeros or ones they hold a byte and a half. */
const [LEAST_DISPLACEMENT, MOST_DISPLACEMENT] = [-MOST_STACK, 4095];

/** Reads the instruction at `at`; why not, when no JIT emits it. */
export function decodeJit(code: Uint8Array, at: number): JitInstruction | string {
  const whole = WHOLE.find(([, ...bytes]) => bytes.every((byte, index) => code[at + index] === byte));
  if (whole !== undefined) return { does: whole[0], length: whole.length - 1 };
  const probe = probing(code, at);
  if (probe !== undefined) return { does: 'compute', length: probe };
  if (code[at] === 0xc4) return shiftByRegister(code, at);
  if (code[at] === 0x65) return addOfOwn(code, at);
  let next = at;
  const lock = code[next] === 0xf0;
  if (lock) next++;
  const word = code[next] === 0x66;
  if (word) next++;
  const first = code[next] ?? 0;
  const rex = first >= 0x40 && first < 0x50 ? first - 0x40 : 0;
  if (rex !== 0 || first === 0x40) next++;
  const wide = rex >= 8;
  // REX.W wins over 66 (SDM Vol. 2A, 2.2.1.2), and no JIT emits both.
  if (word && wide) return 'a prefix 66 with REX.W';
  const extendReg = Math.floor(rex / 4) % 2;
  const extendRm = rex % 2;
  const code1 = code[next++];
  if (code1 === undefined) return 'it ends within an instruction';
  const opcode = code1 === 0x0f ? 0x0f00 + (code[next++] ?? 0) : code1;
  const bytes = new DataView(code.buffer, code.byteOffset, code.byteLength);
  const bare = !lock && !word;

  const inOpcode = oneByteForm(opcode, { bare, rex, extended: extendRm === 1 });
  if (inOpcode === 'compute') return { does: 'compute', length: next - at };
  if (inOpcode === 'move') {
    if (next + 4 > code.length) return 'it ends within an instruction';
    const register = opcode - 0xb8 + 8 * extendRm;
    if (register === RSP || register === RBP) return 'it writes the stack or frame pointer';
    const value = bytes.getInt32(next, true);
    return constant('constant', register, value, false, next + 4 - at);
  }
  if (inOpcode === 'short' || inOpcode === 'near') {
    const size = inOpcode === 'short' ? 1 : 4;
    if (next + size > code.length) return 'it ends within an instruction';
    const distance = size === 1 ? bytes.getInt8(next) : bytes.getInt32(next, true);
    const does = opcode === 0xe8 ? 'call' : opcode === 0xeb || opcode === 0xe9 ? 'jump' : 'branch';
    return { does, distance, length: next + size - at };
  }

  const shape = SHAPES.get(opcode);
  const modrm = code[next++];
  if (shape === undefined || (word && shape.word !== true)) return `opcode ${opcode.toString(16)}`;
  if (modrm === undefined) return 'it ends within an instruction';
  const mod = Math.floor(modrm / 64);
  const field = Math.floor(modrm / 8) % 8;
  const reg = field + 8 * extendReg;
  const isRegister = mod === 3;
  if (shape.groups?.includes(field) === false) return `opcode ${opcode.toString(16)} /${field}`;
  if (isRegister ? shape.rm === 'memory' : shape.rm === 'register')
    return `opcode ${opcode.toString(16)} with another kind of operand`;
  if (lock && (isRegister || shape.lock !== true)) return 'a LOCK that is not one';
  const rm = (modrm % 8) + 8 * extendRm;
  if (!isRegister) {
    const operand = memoryOperand(bytes, next, mod, modrm % 8);
    if (typeof operand === 'string') return operand;
    next = operand;
  }
  const size = shape.immediate ?? 0;
  if (next + size > code.length) return 'it ends within an instruction';
  const value = size === 0 ? 0 : size === 1 ? bytes.getInt8(next) : bytes.getInt32(next, true);
  const length = next + size - at;
  const isCompare = (opcode === 0x81 || opcode === 0x83) && field === 7;
  const written = [
    ...(isRegister && !isCompare && (shape.writes === 'rm' || shape.writes === 'both') ? [rm] : []),
    ...(shape.groups === undefined && (shape.writes === 'reg' || shape.writes === 'both') ? [reg] : []),
  ];
  if (written.includes(RSP) || written.includes(RBP)) {
    const isStack =
      (opcode === 0x81 || opcode === 0x83) && wide && rm === RSP && (field === 0 || field === 5);
    if (isStack && value >= 0 && value <= MOST_STACK && value % 8 === 0) return { does: 'compute', length };
    return 'it writes the stack or frame pointer';
  }
  if (size !== 4) return { does: 'compute', length };
  if (opcode === 0xc7) return constant('constant', rm, value, wide, length);
  if (opcode === 0x81 && field === 6) return constant('unblind', rm, value, wide, length);
  return isSmall(value) ? { does: 'compute', length } : 'a constant that is not blinded';
}

/** The length of an instruction around a load that may fail, whose constant is Linux's own or a displacement of the load. */
function probing(code: Uint8Array, at: number): number | undefined {
  const begins = (bytes: readonly number[]): boolean =>
    bytes.every((byte, index) => code[at + index] === byte);
  const limit = LIMITS.find(begins);
  if (limit !== undefined) return limit.length;
  const view = new DataView(code.buffer, code.byteOffset, code.byteLength);
  if (begins(ADD_DISPLACEMENT) && at + 7 <= code.length)
    return isDisplacement(view.getInt32(at + 3, true)) ? 7 : undefined;
  if (!begins(LIMIT_OF_LOAD) || at + 10 > code.length) return undefined;
  const isLimit =
    isDisplacement(view.getInt32(at + 2, true)) && UPPER_LIMITS.has(view.getUint32(at + 6, true));
  return isLimit ? 10 : undefined;
}

/** SHLX, SARX, SHRX (BMI2), which Linux emits since 6.2 where a processor has them: VEX of three bytes, map 0f 38, opcode f7, a register in r/m. */
function shiftByRegister(code: Uint8Array, at: number): JitInstruction | string {
  const [, maps = 0, form = 0, opcode, modrm] = code.subarray(at, at + 5);
  if (modrm === undefined) return 'it ends within an instruction';
  const [map, isLong, prefix] = [maps % 32, Math.floor(form / 4) % 2 !== 0, form % 4];
  // The bit of an index register is inverted, as all registers' are.
  const isIndexed = Math.floor(maps / 64) % 2 === 0;
  if (map !== 2 || isLong || prefix === 0 || isIndexed || opcode !== 0xf7 || modrm < 0xc0) return 'opcode c4';
  const written = (Math.floor(modrm / 8) % 8) + (maps < 0x80 ? 8 : 0);
  const shifted = (modrm % 8) + (Math.floor(maps / 32) % 2 === 0 ? 8 : 0);
  if (written !== shifted) return 'a shift of another register than the one that it writes';
  if (written === RSP || written === RBP) return 'it writes the stack or frame pointer';
  return { does: 'compute', length: 5 };
}

/** ADD r64, GS:[displacement], with which Linux makes a per-CPU address since 6.10 (BPF_MOV64_PERCPU_REG). */
function addOfOwn(code: Uint8Array, at: number): JitInstruction | string {
  const [, rex, opcode, modrm = 0, sib] = code.subarray(at, at + 5);
  const isAdd = (rex === 0x48 || rex === 0x4c) && opcode === 0x03 && modrm < 0x40 && modrm % 8 === 4;
  // No base, no index: the displacement alone.
  if (!isAdd || sib !== 0x25) return 'opcode 65';
  if (at + 9 > code.length) return 'it ends within an instruction';
  const written = Math.floor(modrm / 8) + (rex === 0x4c ? 8 : 0);
  if (written === RSP || written === RBP) return 'it writes the stack or frame pointer';
  const bytes = new DataView(code.buffer, code.byteOffset, code.byteLength);
  return { does: 'add-own', displacement: bytes.getInt32(at + 5, true), length: 9 };
}

/** Opcodes without ModRM. */
function oneByteForm(
  opcode: number,
  { bare, rex, extended }: { readonly bare: boolean; readonly rex: number; readonly extended: boolean },
): 'compute' | 'move' | 'short' | 'near' | undefined {
  if (!bare) return undefined;
  const low = opcode % 8;
  // PUSH and POP, but for the stack and frame pointers.
  if (opcode >= 0x50 && opcode < 0x60 && rex < 2)
    return extended || (low !== RSP && low !== RBP) ? 'compute' : undefined;
  // CDQ, CQO.
  if (opcode === 0x99 && (rex === 0 || rex === 8)) return 'compute';
  // BSWAP.
  if (opcode >= 0x0fc8 && opcode < 0x0fd0)
    return extended || (low !== RSP && low !== RBP) ? 'compute' : undefined;
  // MOV r32, imm32; with REX.W it would have 64 bits.
  if (opcode >= 0xb8 && opcode < 0xc0) return rex < 2 ? 'move' : undefined;
  if (rex !== 0) return undefined;
  if ((opcode >= 0x70 && opcode < 0x80) || opcode === 0xeb) return 'short';
  return (opcode >= 0x0f80 && opcode < 0x0f90) || opcode === 0xe8 || opcode === 0xe9 ? 'near' : undefined;
}

/** A constant that is small, or one that is a half of a blinded one in R10, by where Linux keeps it (BPF_REG_AX). */
function constant(
  does: 'constant' | 'unblind',
  register: number,
  value: number,
  wide: boolean,
  length: number,
): JitInstruction | string {
  const small = isSmall(value);
  if (register === R10) return { does, wide, small, length };
  return small ? { does: 'compute', length } : 'a constant that is not blinded';
}

function isSmall(value: number): boolean {
  return value >= -128 && value <= 127;
}

/** Where a memory operand ends, or what is wrong with it: it is relative to a register. */
function memoryOperand(bytes: DataView, from: number, mod: number, rm: number): number | string {
  let next = from;
  let base = rm;
  if (rm === RSP) {
    if (next >= bytes.byteLength) return 'it ends within an instruction';
    const sib = bytes.getUint8(next++);
    // Index 4 and no scale: none, or R12 of an arena.
    if (Math.floor(sib / 8) !== 4) return 'an index register';
    base = sib % 8;
  }
  if (mod === 0) return base === RBP ? 'an address that is relative to no register' : next;
  const size = mod === 1 ? 1 : 4;
  if (next + size > bytes.byteLength) return 'it ends within an instruction';
  const displacement = size === 1 ? bytes.getInt8(next) : bytes.getInt32(next, true);
  if (!isDisplacement(displacement))
    return `a displacement of ${displacement}: expected ${LEAST_DISPLACEMENT} to ${MOST_DISPLACEMENT}`;
  return next + size;
}

function isDisplacement(value: number): boolean {
  return value >= LEAST_DISPLACEMENT && value <= MOST_DISPLACEMENT;
}
