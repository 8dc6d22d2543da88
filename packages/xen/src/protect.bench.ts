import type { ProtectionRange } from '@heki/hypervisor';
import type { Gfn } from '@heki/physical-memory';
import { compare } from '@heki-internal/bench';
import { requestRanges } from './testing/ask.ts';
import { createGuest } from './testing/guest.ts';

/** 256 requests, each for the text of one module: the guest's exit, the ring, the monitor, and back. */
function requester(pages: number): () => void {
  const { cpu, memory, events } = createGuest();
  return () => {
    for (let module = 0; module < 256; module++) {
      const start = (0x800 + module * 32) as Gfn;
      const rights = { read: true, write: false, supervisorExecute: true, userExecute: true };
      const range: ProtectionRange = { start, end: (start + pages) as Gfn, rights };
      requestRanges(cpu, memory, 0x60, [range]);
      events.length = 0;
    }
  };
}

const work = { count: 256, of: 'requests' };
await compare({
  title: 'the text of 256 modules, asked for by the guest',
  contenders: [
    { name: '4 pages each', run: requester(4), work },
    { name: '32 pages each', run: requester(32), work },
  ],
});
