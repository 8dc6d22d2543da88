import { LvbsFunction } from '@heki/hypercall/hyperv';
import { compare } from '@heki-internal/bench';
import { createTestGuest } from '../testing/guest.ts';

/** A module's five ranges, asked for again and again with other rights, so that tables change each time. */
function requests(mbec: boolean): () => void {
  const guest = createTestGuest({ mbec });
  let odd = 0;
  return () => {
    odd ^= 4;
    const answer = guest.callWith(
      LvbsFunction.PROTECT_MEMORY,
      [0x50_0000, 0x51_0000, 1 | odd],
      [0x51_0000, 0x51_4000, 1],
      [0x51_4000, 0x51_8000, 3],
      [0x51_8000, 0x51_9000, 3],
      [0x51_9000, 0x51_a000, 5 ^ odd],
    );
    guest.events.length = 0;
    if (answer !== 0) throw new Error(`the request was refused: ${answer}`);
  };
}

await compare({
  title: 'one request of a module: 5 ranges, 26 pages',
  contenders: [
    { name: 'with MBEC', run: requests(true) },
    { name: 'without MBEC', run: requests(false) },
  ],
});
