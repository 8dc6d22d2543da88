import { Code, Decoder, DecoderOptions } from 'iced-x86';
import { expect, test } from 'vitest';
import { decodeInstruction } from './x86-instruction.ts';

/** A generator of the same bytes each time (xorshift32). */
function randomBytes(count: number, seed: number): Uint8Array {
  let state = seed;
  return Uint8Array.from({ length: count }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state & 255;
  });
}

test('instructions have the length, branches and operands relative to RIP that iced-x86 finds, in any bytes that are code', () => {
  const bytes = randomBytes(60_000, 0x2545_f491);
  const decoder = new Decoder(64, bytes, DecoderOptions.None);
  let compared = 0;
  for (let at = 0; at < bytes.length - 32; at += 3) {
    decoder.position = at;
    const instruction = decoder.decode();
    // A vector instruction is not in any replacement; what of its opcode there is, is not checked here.
    const isVector = [0xc4, 0xc5, 0x62, 0x8f, 0xd5].includes(bytes[at] ?? 0);
    if (!instruction.isInvalid && !isVector) {
      const found = decodeInstruction(bytes, at);
      const place = [...bytes.subarray(at, at + 15)]
        .map((byte) => byte.toString(16).padStart(2, '0'))
        .join('');
      expect(`${place} ${found?.length}`).toBe(`${place} ${instruction.length}`);
      const isBranch =
        instruction.nearBranchTarget !== 0n &&
        instruction.code !== Code.Xbegin_rel32 &&
        instruction.code !== Code.Xbegin_rel16;
      expect(`${place} ${found?.branch !== undefined}`).toBe(`${place} ${isBranch}`);
      expect(`${place} ${found?.relative !== undefined}`).toBe(
        `${place} ${instruction.isIpRelMemoryOperand}`,
      );
      compared++;
    }
    instruction.free();
  }
  decoder.free();
  expect(compared).toBeGreaterThan(5000);
});

test('what does not end, is too long or has no such opcode is no instruction', () => {
  expect(decodeInstruction(Uint8Array.of(0xe8, 0, 0))).toBeUndefined();
  expect(decodeInstruction(new Uint8Array(20).fill(0x66))).toBeUndefined();
  expect(decodeInstruction(Uint8Array.of(0x06, 0x90))).toBeUndefined();
});
