import { createOverlay, type Gfn, type VirtualFrame } from '@heki/physical-memory';
import { proveKernelRoot } from '@heki/vmcore';
import { openVmcore } from '@heki/vmcore/node';
import { EntryLow, entryFrame, framesOfLevel, type Level } from '@heki/x86';
import { expect, test } from 'vitest';
import { openSnapshot } from '../open-snapshot.ts';
import { fixturePath, projectFile } from '../testing/run-command.ts';
import { hiddenRam } from './hidden-ram.ts';

const snapshot = openSnapshot(fixturePath('k61-256-nokaslr'), {});

/** The real kernel after `edit` of page-table entries of its direct map: those of the frames named. */
function afterEdit(entries: Readonly<Record<number, readonly [low: number, high: number]>>) {
  const { root, levels, directMap } = snapshot.tables;
  const memory = createOverlay({ base: openVmcore(fixturePath('k61-256-nokaslr')).memory });
  for (const [frame, entry] of Object.entries(entries)) {
    const at = (directMap.start + Number(frame)) as VirtualFrame;
    let table: Gfn = root;
    for (let level = levels as Level; level >= 1; level = (level - 1) as Level) {
      const page = memory.writablePage(table);
      const slot = Math.floor(at / framesOfLevel(level)) % 512;
      if (page === undefined) throw new Error('a table is absent');
      if (level === 1) page.set(entry, 2 * slot);
      else {
        const low = page[2 * slot] ?? 0;
        if ((low & EntryLow.PS) !== 0) throw new Error('a large leaf is in the way');
        table = entryFrame(low, page[2 * slot + 1] ?? 0);
      }
    }
  }
  return hiddenRam(proveKernelRoot({ memory, root, levels }));
}

/** Frames that the direct map maps by 4-KiB leaves: the first 2 MiB. */
const [PLAIN, INVERTED, CLEARED, ELSEWHERE, LED_AWAY] = [0x110, 0x112, 0x114, 0x116, 0x118];

test('pages that were hidden in the direct map are RAM, with their frame as it is or inverted', () => {
  const flags = 0x062;
  const found = afterEdit({
    [PLAIN]: [PLAIN * 4096 + flags, 0x8000_0000],
    [INVERTED]: [((~(INVERTED * 4096) & 0xffff_f000) | flags) >>> 0, 0x800f_ffff],
    [CLEARED]: [0, 0],
    [ELSEWHERE]: [0x999 * 4096 + flags, 0x8000_0000],
    [LED_AWAY]: [0x999 * 4096 + flags + EntryLow.P, 0x8000_0000],
  });
  expect(found.map(({ start, end }) => [start, end])).toEqual([
    [PLAIN, PLAIN + 1],
    [INVERTED, INVERTED + 1],
    [LED_AWAY, LED_AWAY + 1],
  ]);
});

test('the first and the last pages of RAM are not lost when they are hidden', () => {
  const last = (snapshot.tables.directMap.frames.at(-1)?.end ?? 0) - 1;
  const inverted = (frame: number): [number, number] => [
    ((~(frame * 4096) & 0xffff_f000) | 0x062) >>> 0,
    0x800f_ffff,
  ];
  const frames = [0, 1, last - 1, last];
  const found = afterEdit(Object.fromEntries(frames.map((frame) => [frame, inverted(frame)])));
  expect(found.map(({ start }) => start)).toEqual(frames);
});

test('a page that is text elsewhere is RAM, though its entry in the direct map is empty', () => {
  const path = projectFile('fixtures/foreign/text-not-in-direct-map.elf.gz');
  expect(hiddenRam(openSnapshot(path, {}).tables)).toEqual([{ start: 0x3ecb, end: 0x3ecc }]);
});

test('an ordinary kernel hides none', () => {
  expect(hiddenRam(snapshot.tables)).toEqual([]);
});
