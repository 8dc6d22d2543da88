import { describe, expect, test } from 'vitest';
import { decodeInstruction } from './instructions.ts';

describe('the decoder', () => {
  test('knows what small functions are made of', () => {
    expect(decodeInstruction(Uint8Array.of(0xf3, 0x0f, 0x1e, 0xfa))).toEqual({ kind: 'nothing', length: 4 });
    expect(decodeInstruction(Uint8Array.of(0x90, 0xc3))).toEqual({ kind: 'nothing', length: 1 });
    expect(decodeInstruction(Uint8Array.of(0xc3))).toEqual({ kind: 'return', length: 1 });
    expect(decodeInstruction(Uint8Array.of(0x48, 0x8d, 0x47, 0xff, 0xc3))).toEqual({
      kind: 'lea',
      length: 4,
      target: 'rax',
      base: 'rdi',
      displacement: -1n,
    });
  });

  test.each([
    ['nothing', []],
    ['an instruction that is cut off', [0x48, 0x8d, 0x47]],
    ['half of ENDBR64', [0xf3, 0x0f]],
    ['an int3', [0xcc, 0xc3]],
    ['LEA with a SIB byte', [0x48, 0x8d, 0x44, 0x24, 0x01]],
    ['LEA without a displacement', [0x48, 0x8d, 0x07, 0x01]],
  ])('does not know %s', (_, bytes) => {
    expect(decodeInstruction(Uint8Array.from(bytes))).toBeUndefined();
  });
});
