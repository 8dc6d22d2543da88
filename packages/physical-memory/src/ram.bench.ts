import { compare } from '@heki-internal/bench';
import { type Gfn, gfn } from './address.ts';
import { createRam } from './ram.ts';

const FRAMES = 65_536;
const ram = createRam<Gfn>({ ranges: [{ start: gfn(0), end: gfn(FRAMES) }] });
const byNumber = new Map<number, Uint32Array>();
for (let frame = 0; frame < FRAMES; frame++) {
  const page = ram.writablePage(gfn(frame));
  if (page !== undefined) byNumber.set(frame, page);
}
const order = Uint32Array.from({ length: FRAMES }, (_, i) => (i * 40_503) % FRAMES);
const work = { count: FRAMES, of: 'look-ups' };

await compare({
  title: 'look up 65,536 pages of 256 MiB of RAM in scattered order',
  contenders: [
    {
      name: 'Map from frame to page',
      work,
      run: () => {
        let sum = 0;
        for (const frame of order) sum += byNumber.get(frame)?.[0] ?? 0;
        return sum;
      },
    },
    {
      name: 'sparse RAM',
      work,
      run: () => {
        let sum = 0;
        for (const frame of order) sum += ram.page(frame as Gfn)?.[0] ?? 0;
        return sum;
      },
    },
  ],
});
