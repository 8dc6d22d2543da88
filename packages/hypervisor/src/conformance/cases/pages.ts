import type { VirtualAddress } from '@heki/physical-memory';
import { HypervisorError } from '../../error.ts';
import { formatRights } from '../../rights.ts';
import {
  ALL,
  createKitGuest,
  FIRST_REGION,
  type KitGuest,
  rangeOf,
  rightsOf,
  SECOND_REGION,
} from '../kit-guest.ts';
import { REGISTERS } from '../kit-memory.ts';
import { type ConformanceCase, type ConformanceSetup, require } from '../setup.ts';
import { USUAL, waysOfAsking } from './rights.ts';

const READ_ONLY = rightsOf('ru');
const TEXT = rightsOf('rxu');
/** Becomes a page table of the guest. */
const TABLE_FRAME = 0x300;

/** Large second-level leaves, virtual CPUs that remember, and random lives. */
export function pageCases(setup: ConformanceSetup): readonly ConformanceCase[] {
  const cases: ConformanceCase[] = [];
  for (const { who, ask } of waysOfAsking(setup)) {
    for (const [size, start, frames] of [
      ['2 MiB', 0x400, 0x200],
      ['1 GiB', 0, FIRST_REGION.frames],
    ] as const) {
      cases.push({
        area: 'large pages',
        name: `${who} changes the middle of ${size}`,
        run() {
          const guest = createKitGuest(setup);
          const middle = start + frames / 2;
          guest.check([middle - 1, middle, middle + 1], 'before');
          ask(guest)([rangeOf(middle, middle + 1, READ_ONLY)]);
          guest.check([start + 0x180, middle - 1, middle, middle + 1, start + frames - 1], 'after');
          ask(guest)([rangeOf(middle, middle + 1, ALL)]);
          guest.check([middle - 1, middle, middle + 1], 'after it has all rights again');
          guest.checkHost();
        },
      });
    }
    for (const first of USUAL) {
      for (const second of USUAL) {
        cases.push({
          area: 'large pages',
          name: `${who} gives the halves of 2 MiB ${formatRights(first)} and ${formatRights(second)}`,
          run() {
            const guest = createKitGuest(setup);
            ask(guest)([rangeOf(0x400, 0x500, first)]);
            ask(guest)([rangeOf(0x500, 0x600, second)]);
            guest.check([0x400, 0x5ff, 0x4ff, 0x500], 'halves');
            ask(guest)([rangeOf(0x400, 0x600, first)]);
            guest.check([0x400, 0x4ff, 0x500, 0x5ff, 0x600], 'uniform again');
            ask(guest)([rangeOf(0x480, 0x481, second)]);
            guest.check([0x400, 0x480, 0x481, 0x5ff], 'one frame of it');
          },
        });
      }
    }
    cases.push({
      area: 'large pages',
      name: `${who} gives all of a small region one kind of rights`,
      run() {
        const { start, frames } = SECOND_REGION;
        const guest = createKitGuest(setup);
        for (const rights of [READ_ONLY, ALL, TEXT]) {
          ask(guest)([rangeOf(start, start + frames, rights)]);
          guest.check([start - 1, start, start + 0x1ff, start + 0x200, start + frames - 1], 'region');
          guest.checkHost();
        }
      },
    });
    cases.push({
      area: 'large pages',
      name: `memory that is taken away and comes again has the rights that ${who} asked for`,
      run() {
        const { start, frames } = SECOND_REGION;
        const guest = createKitGuest(setup);
        ask(guest)([rangeOf(start, start + 0x100, ALL), rangeOf(start + 0x100, start + 0x200, READ_ONLY)]);
        readd(guest);
        guest.check([start, start + 0xff, start + 0x100, start + 0x1ff, start + frames - 1], 'added again');
        require(guest.vm.effectiveRights(start) !== undefined, 'no memory after it was added again');
      },
    });
  }
  cases.push({
    area: 'virtual CPUs',
    name: 'a change binds every virtual CPU when it is declared to, whatever it has cached',
    run() {
      const guest = createKitGuest(setup, 3);
      const frames = [0x400, 0x4ff, 0x500];
      guest.protect([rangeOf(0x800, 0x801, ALL), rangeOf(0x400, 0x600, ALL)]);
      for (const rights of [READ_ONLY, TEXT, rightsOf('rwu'), READ_ONLY]) {
        guest.check(frames, 'warm');
        guest.protect([rangeOf(0x480, 0x500, rights)]);
        guest.check(frames, `after a change to ${formatRights(rights)}`);
      }
    },
  });
  cases.push(
    {
      area: 'virtual CPUs',
      name: 'memory that was taken away is out of reach of every virtual CPU, whatever it has cached',
      run() {
        const { start } = SECOND_REGION;
        const guest = createKitGuest(setup, 2);
        guest.check([start + 0x10, start + 0x210], 'warm');
        guest.vm.removeMemory(start);
        guest.bringIntoForce();
        for (const vcpu of guest.vcpus) {
          for (const gfn of [start + 0x10, start + 0x210]) {
            const reached = guest.probe(gfn, vcpu);
            require(!Object.values(reached).includes(
              true,
            ), `virtual CPU ${vcpu.id} has ${formatRights(reached)} for frame 0x${gfn.toString(16)}, which was taken away`);
          }
        }
      },
    },
    {
      area: 'rights',
      name: 'a walk of guest page tables in a read-only page does not make it writable',
      run() {
        const guest = createKitGuest(setup, 2);
        for (const vcpu of guest.vcpus) {
          const va = mapThroughTable(guest, TABLE_FRAME);
          guest.protect([rangeOf(TABLE_FRAME, TABLE_FRAME + 1, READ_ONLY)]);
          // Whatever becomes of the walk, which has an accessed flag to set.
          vcpu.store(va, 4, 1n);
          guest.restart(vcpu);
          guest.check([TABLE_FRAME], 'after a walk');
        }
      },
    },
    {
      area: 'large pages',
      name: 'memory at frames where the guest has memory is refused',
      run() {
        const { start } = SECOND_REGION;
        const guest = createKitGuest(setup);
        guest.protect([rangeOf(start, start + 0x20, READ_ONLY)]);
        for (const backing of [start + 0x10, 0x1000]) {
          let taken = true;
          try {
            const { start: first } = rangeOf(start + 0x10, start + 0x20, ALL);
            guest.vm.addMemory({ start: first, frames: 0x10, backing: guest.backing(backing) });
          } catch (error) {
            taken = false;
            require(error instanceof
              HypervisorError, `it ends in another error than a HypervisorError: ${error}`);
          }
          require(!taken, `frame 0x${(start + 0x10).toString(16)} was given twice`);
        }
        guest.check([start, start + 0x10, start + 0x20], 'after it');
      },
    },
  );
  for (let seed = 1; seed <= 4; seed++) {
    cases.push({ area: 'random lives', name: `seed ${seed}`, run: () => randomLife(setup, seed) });
  }
  return cases;
}

/** A mapping of guest-physical 0 by a table in `frame`, whose entries nothing has used yet. Gives an address that it maps. */
function mapThroughTable(guest: KitGuest, frame: number): VirtualAddress {
  const index = 288;
  guest.words(Number(REGISTERS.cr3 >> 12n)).set([frame * 4096 + 0x63, 0], 2 * index);
  // Present, writable, a leaf of 1 GiB; neither accessed nor dirty (SDM 3A 4.5).
  guest.words(frame).set([0x83, 0]);
  return (0xffff_0000_0000_0000n + (BigInt(index) << 39n) + 0x20_0000n) as VirtualAddress;
}

function readd(guest: KitGuest): void {
  const { start, frames } = SECOND_REGION;
  guest.vm.removeMemory(start);
  require(guest.vm.effectiveRights(start) === undefined, 'memory that was taken away is still there');
  guest.vm.addMemory({ start, frames, backing: guest.backing(start) });
}

/** Requests at random, many of them along the borders of large leaves, against the model. */
function randomLife(setup: ConformanceSetup, seed: number): void {
  const guest = createKitGuest(setup, 2);
  const ways = waysOfAsking(setup);
  let state = seed;
  const below = (count: number): number => {
    // Numerical Recipes' generator: enough to be without a pattern, and the same everywhere.
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return Math.floor((state / 2 ** 32) * count);
  };
  const frame = (): number => {
    const base = below(4) === 0 ? SECOND_REGION.start : 0x400;
    return base + (below(2) === 0 ? below(5) * 0x80 : below(0x280));
  };
  for (let step = 0; step < 40; step++) {
    const ranges = Array.from({ length: 1 + below(3) }, () => {
      const start = frame();
      const length = below(2) === 0 ? 1 + below(3) : 0x80 * (1 + below(3));
      return rangeOf(start, start + length, USUAL[below(USUAL.length)] ?? ALL);
    });
    if (below(8) === 0) readd(guest);
    ways[below(ways.length)]?.ask(guest)(ranges);
    const watched = ranges.flatMap(({ start, end }) => [start - 1, start, end - 1, end]);
    guest.check([...watched, frame()], `step ${step}`);
  }
  guest.checkHost();
}
