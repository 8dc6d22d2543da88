import { gfn } from '@heki/physical-memory';
import { expect, it } from 'vitest';
import { buildCore } from '../../testing/build-core.ts';
import { buildFlattened } from '../../testing/build-kdump.ts';
import { readVmcore } from '../../vmcore.ts';

it('an ELF core that was flattened (makedumpfile -E -F) has no zeros where it lost a chunk: that is an error', () => {
  const page = (byte: number) => new Uint8Array(4096).fill(byte);
  const core = buildCore({
    loads: [1, 2, 3].map((frame) => ({ address: frame * 4096, bytes: page(frame) })),
  });
  const second = core.length - 2 * 4096;
  const chunks = [
    { offset: 0, bytes: core.subarray(0, second) },
    { offset: second + 4096, bytes: core.subarray(second + 4096) },
  ];
  const { memory } = readVmcore(buildFlattened(chunks));
  expect([1, 3].map((frame) => memory.page(gfn(frame))?.[0])).toEqual([0x0101_0101, 0x0303_0303]);
  expect(() => memory.page(gfn(2))).toThrow('memory that no chunk of the flattened dump has');
  const whole = readVmcore(buildFlattened([{ offset: 0, bytes: core }])).memory;
  expect(whole.page(gfn(2))?.[0]).toBe(0x0202_0202);
});
