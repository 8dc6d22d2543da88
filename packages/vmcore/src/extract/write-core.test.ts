import { gfn } from '@heki/physical-memory';
import { expect, test } from 'vitest';
import { readVmcore } from '../vmcore.ts';
import { writeCore } from './write-core.ts';

const bytesOf = (text: string) => new TextEncoder().encode(text);

test('a core that was written reads as what went into it', () => {
  const notes = [
    {
      name: 'QUITE',
      nameBytes: bytesOf('QUITE\0'),
      type: 7,
      offset: 0,
      descriptor: bytesOf('a note of odd length'),
    },
    { name: '', nameBytes: bytesOf(''), type: 0, offset: 0, descriptor: bytesOf('x') },
  ];
  const frames = [1, 2, 5, 2 ** 40 - 1].map(gfn);
  const core = readVmcore(
    Buffer.concat([
      ...writeCore({ notes, frames, page: (frame) => new Uint32Array(1024).fill(frame) }).chunks(),
    ]),
  );
  expect(core.notes.map(({ offset, ...note }) => note)).toEqual(notes.map(({ offset, ...note }) => note));
  expect(core.segments.map(({ start, end }) => [start / 4096, end / 4096])).toEqual([
    [1, 3],
    [5, 6],
    [2 ** 40 - 1, 2 ** 40],
  ]);
  for (const frame of frames) expect(core.memory.page(frame)?.[1023]).toBe(frame % 2 ** 32);
});

test('its size is told before it is written', () => {
  const core = writeCore({ notes: [], frames: [3, 4, 9].map(gfn), page: () => new Uint32Array(1024) });
  expect(Buffer.concat([...core.chunks()]).length).toBe(core.size);
});

test('more program headers than the ELF header can count are counted in section header 0', () => {
  const frames = Array.from({ length: 65_535 }, (_, index) => gfn(index * 2));
  const [head = new Uint8Array()] = writeCore({
    notes: [],
    frames,
    page: () => new Uint32Array(1024),
  }).chunks();
  const view = new DataView(head.buffer);
  expect(view.getUint16(56, true)).toBe(0xffff);
  expect(view.getUint32(Number(view.getBigUint64(40, true)) + 44, true)).toBe(65_536);
});
