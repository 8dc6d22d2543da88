import { virtualAddress } from '@heki/physical-memory';
import { describe, expect, test } from 'vitest';
import { type AttackedBytes, attackedBytesLines } from './attacked-bytes.ts';

const push = { bytes: Uint8Array.of(0x55), code: 'push rbp' };
const nop = { bytes: Uint8Array.of(0x90), code: 'nop' };
const linux = Uint8Array.from('Linux', (letter) => letter.charCodeAt(0));

function lines(parts: Partial<AttackedBytes>): string[] {
  const address = virtualAddress(0xffff_ffff_8100_0000n);
  return attackedBytesLines({ address, from: 'guest', before: push, after: push, ...parts });
}

describe('attacked bytes', () => {
  test('are told as what they were and what they became', () => {
    expect(lines({ after: nop })).toEqual(['was push rbp', 'now nop']);
  });

  test('that stay are told once, with where they come from', () => {
    expect(lines({ from: 'image' })).toEqual(['stays push rbp (image)']);
  });

  test('of data that is to be run are told as data and as code', () => {
    const before = { bytes: linux, code: undefined };
    expect(lines({ before, after: { bytes: linux, code: 'imul r13, [rsi+0x75], 0x78' } })).toEqual([
      'is 4c 69 6e 75 78',
      'as code imul r13, [rsi+0x75], 0x78',
    ]);
    expect(lines({ before, after: before })).toEqual(['stays 4c 69 6e 75 78']);
  });
});
