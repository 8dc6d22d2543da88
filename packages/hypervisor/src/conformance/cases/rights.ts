import { formatRights, type Rights, sameRights } from '../../rights.ts';
import { ALL, createKitGuest, type KitGuest, rangeOf, rightsOf, SECOND_REGION } from '../kit-guest.ts';
import type { ConformanceCase, ConformanceSetup } from '../setup.ts';

/** All sixteen combinations. */
const KINDS: readonly Rights[] = Array.from({ length: 16 }, (_, bits) => ({
  read: (bits & 1) !== 0,
  write: (bits & 2) !== 0,
  supervisorExecute: (bits & 4) !== 0,
  userExecute: (bits & 8) !== 0,
}));

/** Rights that mean something everywhere: what no backend may refuse, weakened or not. */
export const USUAL: readonly Rights[] = ['ru', 'rwu', 'rxu', 'rwxu'].map(rightsOf);

type Ask = (guest: KitGuest) => KitGuest['protect'];

/** The ways of asking that this backend has. */
export function waysOfAsking(
  setup: ConformanceSetup,
): readonly { readonly who: string; readonly ask: Ask }[] {
  const owner = { who: 'the owner', ask: (guest: KitGuest) => guest.protect };
  if (setup.guestCalls === undefined) return [owner];
  return [owner, { who: 'the guest', ask: (guest: KitGuest) => guest.request }];
}

/** Rights of every kind, by what accesses can really do and by read-back. */
export function rightsCases(setup: ConformanceSetup): readonly ConformanceCase[] {
  const cases: ConformanceCase[] = [];
  for (const { who, ask } of waysOfAsking(setup)) {
    for (const rights of KINDS) {
      cases.push({
        area: 'rights',
        name: `${who} asks for ${formatRights(rights)}`,
        run() {
          const guest = createKitGuest(setup);
          ask(guest)([rangeOf(0x200, 0x201, ALL)]);
          ask(guest)([rangeOf(0x210, 0x213, rights)]);
          guest.check([0x20f, 0x210, 0x212, 0x213], `after a request for ${formatRights(rights)}`);
          guest.checkHost();
        },
      });
    }
    for (const from of USUAL) {
      for (const to of USUAL) {
        if (sameRights(from, to)) continue;
        cases.push({
          area: 'requests',
          name: `${who} asks for ${formatRights(from)}, then for ${formatRights(to)}`,
          run: () => replace(setup, ask, from, to),
        });
      }
    }
    cases.push({
      area: 'rights',
      name: `memory that ${who} never asked for has the declared rights`,
      run: () => unrequested(setup, ask),
    });
  }
  return cases;
}

/** A later request replaces an earlier one: the whole of it, part of it, more than it. */
function replace(setup: ConformanceSetup, ask: Ask, from: Rights, to: Rights): void {
  const guest = createKitGuest(setup);
  const frames = [0x21f, 0x220, 0x227, 0x228, 0x22f, 0x230, 0x237, 0x238];
  ask(guest)([rangeOf(0x220, 0x230, from)]);
  guest.check(frames, 'after the first request');
  for (const [start, end] of [
    [0x224, 0x228],
    [0x228, 0x238],
    [0x210, 0x240],
  ] as const) {
    ask(guest)([rangeOf(start, end, to)]);
    guest.check(frames, `after a request for 0x${start.toString(16)}-0x${end.toString(16)}`);
  }
  ask(guest)([rangeOf(0x220, 0x230, from), rangeOf(0x228, 0x238, to)]);
  guest.check(frames, 'after two ranges that overlap in one request');
}

function unrequested(setup: ConformanceSetup, ask: Ask): void {
  const guest = createKitGuest(setup);
  const frames = [0x1000, 0x3_0000, SECOND_REGION.start];
  guest.check(frames, 'before any request');
  ask(guest)([rangeOf(0x200, 0x201, rightsOf('ru'))]);
  guest.check(frames, 'after a request for another frame');
}
