import {
  Decoder,
  DecoderOptions,
  FlowControl,
  type Instruction,
  InstructionInfoFactory,
  Mnemonic,
  OpAccess,
  OpKind,
  Register,
  RegisterExt,
} from 'iced-x86';
import { expect, test } from 'vitest';
import { blind } from './blind.ts';
import { decodeJit, type JitInstruction } from './decode.ts';

/** Opcodes that a JIT emits, and neighbours that move the stack: 0x0fxx for two bytes. */
const OPCODES = [
  0x01, 0x09, 0x21, 0x29, 0x31, 0x39, 0x50, 0x54, 0x55, 0x58, 0x5c, 0x5d, 0x63, 0x69, 0x6b, 0x74, 0x81, 0x83,
  0x85, 0x87, 0x88, 0x89, 0x8b, 0x8d, 0x8f, 0x90, 0x99, 0xb8, 0xbc, 0xbd, 0xc1, 0xc3, 0xc6, 0xc7, 0xc9, 0xcc,
  0xd1, 0xd3, 0xe8, 0xe9, 0xeb, 0xf7, 0xff, 0x0f1e, 0x0f1f, 0x0f84, 0x0fae, 0x0faf, 0x0fb1, 0x0fb6, 0x0fb7,
  0x0fbe, 0x0fbf, 0x0fc1, 0x0fc8, 0x0fcc,
];
const PREFIXES = [0xf2, 0xf3, 0x67, 0x2e, 0x65, 0x66, 0xf0, 0xc4, 0xc5, 0x62];

/** Bytes that are often nearly an instruction of a JIT: the same each time (xorshift32). */
function* nearlyInstructions(count: number): Generator<Uint8Array> {
  let state = 0x2545_f491;
  const below = (end: number): number => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % end;
  };
  const one = (list: readonly number[]): number => list[below(list.length)] ?? 0;
  for (let made = 0; made < count; made++) {
    // Of VEX with three bytes: nearly a shift.
    const vex = [
      0xc4,
      one([0xe2, 0x42, 0xc2, below(256)]),
      below(256),
      one([0xf7, 0xf7, below(256)]),
      below(256),
    ];
    const own = [0x65, 0x40 + below(16), 0x03, below(256), 0x25, 0x18, 0x9a, 0x01];
    if (below(20) === 0) yield Uint8Array.of(...own, 0, 0, 0, 0, 0);
    if (below(20) === 0) yield Uint8Array.of(...vex, 0, 0, 0, 0, 0, 0, 0, 0);
    const opcode = below(10) === 0 ? below(256) : one(OPCODES);
    const bytes = [
      ...(below(4) === 0 ? [0xf0] : []),
      ...(below(3) === 0 ? [0x66] : []),
      ...(below(20) === 0 ? [one(PREFIXES)] : []),
      ...(below(2) === 0 ? [0x40 + below(16)] : []),
      ...(opcode > 0xff ? [0x0f] : []),
      opcode % 0x100,
      below(256),
    ];
    for (let tail = 0; tail < 12; tail++) bytes.push(one([0, 0, 0, 0xff, below(256), below(16)]));
    yield Uint8Array.from(bytes);
  }
}

const FLOW: { readonly [does in JitInstruction['does']]?: FlowControl } = {
  branch: FlowControl.ConditionalBranch,
  jump: FlowControl.UnconditionalBranch,
  call: FlowControl.Call,
  return: FlowControl.Return,
  trap: FlowControl.Interrupt,
};

/** What may move the stack pointer: pushes and pops, and a frame's size, which `isFrameSize` knows. */
const MOVES_STACK: ReadonlySet<JitInstruction['does']> = new Set(['push-frame', 'leave', 'return', 'call']);

function isFrameSize({ mnemonic, op0Register, op1Kind }: Instruction): boolean {
  const isImmediate = op1Kind !== OpKind.Register && op1Kind !== OpKind.Memory;
  return isImmediate && op0Register === Register.RSP && [Mnemonic.Add, Mnemonic.Sub].includes(mnemonic);
}

/** How an accepted instruction is another one for iced-x86; `undefined` when it is the same. */
function difference(
  found: JitInstruction,
  real: Instruction,
  factory: InstructionInfoFactory,
): string | undefined {
  if (real.isInvalid) return 'no instruction';
  if (real.length !== found.length) return `${real.length} bytes`;
  if (real.isPrivileged) return 'privileged';
  if (real.isIpRelMemoryOperand) return 'relative to RIP';
  if (real.segmentPrefix !== (found.does === 'add-own' ? Register.GS : Register.None))
    return 'with a segment';
  if (real.flowControl !== (FLOW[found.does] ?? FlowControl.Next)) return 'another flow of control';
  if (
    'distance' in found &&
    BigInt.asUintN(64, BigInt(found.length + found.distance)) !== real.nearBranchTarget
  )
    return 'leading elsewhere';
  const info = factory.info(real);
  const written = info
    .usedRegisters()
    .filter(({ access }) => ![OpAccess.Read, OpAccess.CondRead, OpAccess.NoMemAccess].includes(access))
    .map(({ register }) => RegisterExt.fullRegister(register));
  info.free();
  if (written.includes(Register.RBP) && found.does !== 'set-frame' && found.does !== 'leave')
    return 'writes RBP';
  const mayMove =
    MOVES_STACK.has(found.does) || [Mnemonic.Push, Mnemonic.Pop].includes(real.mnemonic) || isFrameSize(real);
  return written.includes(Register.RSP) && !mayMove ? 'writes RSP' : undefined;
}

test('what is accepted has the length, the flow of control and the registers that iced-x86 finds', () => {
  const factory = new InstructionInfoFactory();
  const different: string[] = [];
  let accepted = 0;
  for (const bytes of nearlyInstructions(120_000)) {
    const found = decodeJit(bytes, 0);
    if (typeof found === 'string') continue;
    accepted++;
    const decoder = new Decoder(64, bytes, DecoderOptions.None);
    const real = decoder.decode();
    const what = difference(found, real, factory);
    if (what !== undefined) different.push(`${Buffer.from(bytes.subarray(0, 15)).toString('hex')}: ${what}`);
    real.free();
    decoder.free();
  }
  factory.free();
  expect(different).toEqual([]);
  expect(accepted).toBeGreaterThan(10_000);
});

test('whatever behind 0f is privileged for iced-x86, or loads a segment, is found by its bytes', () => {
  const missed = new Set<string>();
  let privileged = 0;
  const look = (...opcode: number[]): void => {
    // ModRM: all extensions in memory, and in registers.
    for (let field = 0; field < 16; field++) {
      const modrm = (field % 8) * 8 + (field < 8 ? 0 : 0xc0);
      for (const prefix of [[], [0x66], [0xf2], [0xf3]]) {
        const code = Uint8Array.of(...prefix, ...opcode, modrm, 0, 0, 0, 0, 0);
        const decoder = new Decoder(64, code, DecoderOptions.None);
        const real = decoder.decode();
        const loadsSegment = [Mnemonic.Lss, Mnemonic.Lfs, Mnemonic.Lgs].includes(real.mnemonic);
        if (!real.isInvalid && (real.isPrivileged || loadsSegment)) {
          privileged++;
          if (
            blind(code, { constants: [], landings: [], body: 0 }, new Uint8Array(32), new Uint8Array(32)) ===
            undefined
          )
            missed.add(Mnemonic[real.mnemonic] ?? '');
        }
        real.free();
        decoder.free();
      }
    }
  };
  for (let byte = 0; byte < 0x100; byte++) {
    if (byte !== 0x38 && byte !== 0x3a) look(0x0f, byte);
    look(0x0f, 0x38, byte);
    look(0x0f, 0x3a, byte);
  }
  expect([...missed]).toEqual([]);
  expect(privileged).toBeGreaterThan(200);
});
