import type { Gfn, VirtualAddress, VirtualFrame } from '@heki/physical-memory';
import { compare } from '@heki-internal/bench';
import { mappings } from '../mappings/mappings.ts';
import { pagingRegisters } from '../registers/registers.ts';
import { readKernelTables } from '../testing/kernel-tables.ts';
import { AccessBits } from './access.ts';
import { createPageWalker } from './create-page-walker.ts';
import { WalkOutcome } from './page-walker.ts';
import { translate } from './translate.ts';

// One stage, over a real kernel's tables. Two dimensions are measured in @heki/ept, over real second-level tables.

const { memory, cr3 } = readKernelTables('k61-2g-allmods');
const options = { memory, root: Number(cr3 / 4096n) as Gfn, levels: 4 } as const;
const frames: number[] = [];
for (const leaf of mappings(options, (2 ** 51) as VirtualFrame, (2 ** 52) as VirtualFrame)) {
  frames.push(leaf.virtualFrame);
}
// An order that has nothing to do with addresses.
const order = Float64Array.from(frames);
for (let i = order.length - 1, state = 0x2545_f491; i > 0; i--) {
  state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
  const j = state % (i + 1);
  const other = order[j] ?? 0;
  order[j] = order[i] ?? 0;
  order[i] = other;
}

const registers = pagingRegisters({ cr3 });
const walker = createPageWalker({ memory, registers });
const work = { count: order.length, of: 'translations' };

await compare({
  title: `the ${order.length} mappings of a real kernel, in random order`,
  contenders: [
    {
      name: 'translate, by the book',
      work,
      run: () => {
        for (const frame of order) {
          const va = (BigInt(frame) << 12n) as VirtualAddress;
          const { outcome } = translate(registers, memory, va, { kind: 'read', mode: 'supervisor' });
          if (outcome.kind !== 'mapped') throw new Error(outcome.kind);
        }
      },
    },
    {
      name: 'page walker',
      work,
      run: () => {
        for (const frame of order) {
          const outcome = walker.walk(frame as VirtualFrame, 0, AccessBits.READ);
          if (outcome !== WalkOutcome.MAPPED) throw new Error(`outcome ${outcome}`);
        }
      },
    },
  ],
});
