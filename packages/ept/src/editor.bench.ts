import { createFrameAllocator, createRam, type Gfn, type Pfn, pfn } from '@heki/physical-memory';
import type { SecondLevelEditor } from '@heki/second-level';
import { compare } from '@heki-internal/bench';
import { createEptEditor, eptLeaf } from './editor.ts';
import { EPT_RIGHTS } from './entry.ts';

/** 1 TiB of guest memory, mapped one to one. */
const FRAMES = 2 ** 28;
const BITS = eptLeaf({ rights: EPT_RIGHTS });
const HOLES = 1000;

/** Distinct seeded frames. */
const holes = new Set<number>();
for (let state = 0x2545_f491; holes.size < HOLES; ) {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  holes.add(state % FRAMES);
}
const sorted = [...holes].sort((a, b) => a - b);

function emptyTables(): SecondLevelEditor {
  const ranges = [{ start: pfn(2 ** 30), end: pfn(2 ** 30 + 2 ** 20) }];
  return createEptEditor({
    memory: createRam<Pfn>({ ranges }),
    frames: createFrameAllocator<Pfn>({ ranges }),
  });
}

function map(editor: SecondLevelEditor, start: number, end: number): void {
  editor.map(start as Gfn, end as Gfn, start as Pfn, BITS);
}

const work = { count: FRAMES, of: 'pages' };

await compare({
  title: 'populate EPT for 1 TiB with the largest legal leaves',
  contenders: [
    {
      name: '1 GiB of it page by page',
      work: { count: 2 ** 18, of: 'pages' },
      run: () => {
        const editor = emptyTables();
        for (let gfn = 0; gfn < 2 ** 18; gfn++) editor.installLeaf(gfn as Gfn, 1, gfn as Pfn, BITS);
      },
    },
    { name: 'in one range', work, run: () => map(emptyTables(), 0, FRAMES) },
    {
      name: 'around 1,000 random holes of 4 KiB',
      work,
      run: () => {
        const editor = emptyTables();
        let start = 0;
        for (const hole of sorted) {
          map(editor, start, hole);
          start = hole + 1;
        }
        map(editor, start, FRAMES);
      },
    },
    {
      name: 'in one range, then 1,000 random pages taken out',
      work,
      run: () => {
        const editor = emptyTables();
        map(editor, 0, FRAMES);
        for (const hole of holes) editor.unmap(hole as Gfn, (hole + 1) as Gfn);
      },
    },
  ],
});
