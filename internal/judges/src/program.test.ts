import { parseSequences } from '@heki-internal/vectors/sequences';
import { describe, expect, it } from 'vitest';
import { encodeProgram } from './program.ts';

const sequences = parseSequences([
  'processor intel levels=4',
  'one: map 7f0000000000 1 p,w; user load 8 7f0000000000 = 5; mov cr4 base+smap = done; read entry 7f0000000000 1 = p | manual',
  'two: store 8 1000 7 = done; wrmsr 10 20 = done | manual',
]);

/** Operation, mode and first three arguments of every step. */
function stepsOf(bytes: Uint8Array) {
  const view = new DataView(bytes.buffer);
  return Array.from({ length: view.getUint32(12, true) }, (_, i) => {
    const at = 64 * (i + 1);
    return [
      view.getUint32(at, true),
      view.getUint32(at + 4, true),
      ...[8, 16, 24].map((offset) => view.getBigUint64(at + offset, true)),
    ];
  });
}

describe('the program of sequences', () => {
  it('starts each over, writes its tables and has its instructions by the number of their fragments', () => {
    const { bytes } = encodeProgram(sequences);
    const steps = stepsOf(bytes);
    expect(steps.filter(([operation]) => operation === 0)).toHaveLength(2);
    expect(steps).toContainEqual([1, 0, 0x80_0000n, 0x60_2027n, 0n]);
    expect(steps).toContainEqual([3, 0, 0x80_0000n, 0n, 0n]);
    expect(steps.filter(([operation]) => Number(operation) >= 16)).toEqual([
      [17, 1, 0x7f00_0000_0000n, 0n, 0n],
      [24, 0, 0x20_0620n, 0n, 0n],
      [19, 0, 0x1000n, 7n, 0n],
      [28, 0, 0x10n, 0x20n, 0n],
    ]);
  });

  it('makes outcomes of what the guest printed, as far as that goes', () => {
    const { readOutput } = encodeProgram(sequences);
    const output = 'noise\n100 0 0 5\nd 0 0 0\n100 0 0 a01063\ne 2 1000 0\n';
    expect(readOutput(output)).toEqual([['5', '#GP 0', 'p,w,a,d'], ['#PF 2 1000']]);
    expect(readOutput('')).toEqual([[], []]);
  });

  it('is for a processor with five levels when its sequences are', () => {
    const five = parseSequences(['processor intel levels=5', 'one: clac = done | manual']);
    expect(new DataView(encodeProgram(five).bytes.buffer).getUint32(8, true)).toBe(1);
  });

  it('runs nested sequences as a guest, and changes the host for them outside it', () => {
    const nested = parseSequences([
      'processor amd levels=4 nested',
      'one: host nxe=0 smep=1; clac = done | manual',
    ]);
    const { bytes, readOutput } = encodeProgram(nested);
    const steps = stepsOf(bytes);
    expect(steps).toContainEqual([4, 0, 0x80_0000n, 0x90_0000n, 0n]);
    expect(steps.filter(([operation]) => Number(operation) >= 16)).toEqual([
      [28, 0, 0xc000_0080n, 0x1501n, 0n],
      [24, 0, 0x10_0620n, 0n, 0n],
      [36, 2, 0n, 0n, 0n],
    ]);
    expect(readOutput('100 0 0 0\n100 0 0 0\n1400 100000007 a00000 0\n')).toEqual([
      ['#NPF 100000007 a00000'],
    ]);
    expect(readOutput('100 0 0 0\n100 0 0 0\n1072 0 0 0\n')).toEqual([['exit 72']]);
  });
});
