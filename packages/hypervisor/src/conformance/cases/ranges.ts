import { createKitGuest, rangeOf, rightsOf } from '../kit-guest.ts';
import { type ConformanceCase, type ConformanceSetup, require } from '../setup.ts';
import { waysOfAsking } from './rights.ts';

/** Ranges that a call must take where no limit is declared. */
const MANY = 1000;
const FIRST = 0x1000;
const KINDS = [rightsOf('ru'), rightsOf('rwu')] as const;

/** How many ranges one call takes: as many as declared, and not one more. */
export function rangeCountCases(setup: ConformanceSetup): readonly ConformanceCase[] {
  const limit = setup.hypervisor.capabilities.rangesPerCall;
  const most = limit ?? MANY;
  const cases: ConformanceCase[] = [];
  for (const { who, ask } of waysOfAsking(setup)) {
    cases.push({
      area: 'requests',
      name: `${who} asks for ${most} ranges in one call`,
      run() {
        const guest = createKitGuest(setup);
        require(ask(guest)(ranges(most)), 'they were refused');
        guest.check([FIRST - 1, FIRST, FIRST + 1, FIRST + most - 1, FIRST + most], 'after it');
      },
    });
    if (limit === undefined) continue;
    for (const count of [limit + 1, 4 * limit]) {
      cases.push({
        area: 'requests',
        name: `${who} asks for ${count} ranges in one call: too much, and none of them is taken`,
        run() {
          const guest = createKitGuest(setup);
          const [vcpu] = guest.vcpus;
          const taken =
            who === 'the owner'
              ? guest.vm.protect(ranges(count)).refused === undefined
              : vcpu !== undefined && guest.calls?.request(vcpu, ranges(count));
          require(taken === false, `a call takes at most ${limit}, as declared`);
          const [answered] = guest.answers();
          require(answered?.applied === 0 &&
            answered.refused?.why ===
              'too-much', `answered: ${JSON.stringify(answered)}, expected too-much with nothing applied`);
          guest.check([FIRST, FIRST + 1, FIRST + limit, FIRST + count - 1], 'after the refusal');
        },
      });
    }
  }
  return cases;
}

/** Frames in a row, no two neighbours alike. */
function ranges(count: number): ReturnType<typeof rangeOf>[] {
  return Array.from({ length: count }, (_, i) =>
    rangeOf(FIRST + i, FIRST + i + 1, KINDS[i % 2 === 0 ? 0 : 1]),
  );
}
