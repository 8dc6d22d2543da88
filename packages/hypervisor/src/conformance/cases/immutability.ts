import type { Immutability } from '../../capabilities.ts';
import { ALL, createKitGuest, type KitGuest, rangeOf, rightsOf } from '../kit-guest.ts';
import { type ConformanceCase, type ConformanceSetup, require } from '../setup.ts';

const READ_ONLY = rightsOf('ru');
const LOCKED = rangeOf(0x210, 0x220, READ_ONLY, true);
/** Around the locked frames, and within. */
const FRAMES = [0x20f, 0x210, 0x215, 0x21f, 0x220];
/** All of the locked frames, one of them, and ranges over their borders. */
const ATTEMPTS = [
  [0x210, 0x220],
  [0x214, 0x215],
  [0x200, 0x211],
  [0x21f, 0x300],
] as const;
/** Nothing enforced. */
const NOTHING = { ranges: [], otherwise: ALL, cr0: 0n, cr4: 0n } as const;

type PerPage = Extract<Immutability, { kind: 'per-page' }>;

/** Immutable pages, and who may change them nevertheless. */
export function immutabilityCases(setup: ConformanceSetup): readonly ConformanceCase[] {
  const { immutability } = setup.hypervisor.capabilities;
  const cases: ConformanceCase[] = [];
  const add = (name: string, run: () => void): void => {
    cases.push({ area: 'immutability', name, run });
  };
  if (immutability.kind !== 'per-page') {
    add('a page cannot be made immutable, and no answer says that it was', () => {
      const { refused, weakened } = createKitGuest(setup).vm.protect([LOCKED]);
      require(refused?.why === 'unsupported' || weakened.length > 0, 'immutable is promised and not kept');
    });
    return cases;
  }
  const { undoneBy } = immutability;
  if (setup.guestCalls !== undefined) {
    for (const who of ['owner', 'guest'] as const) {
      add(`the guest cannot change a page that the ${who} made immutable, from any virtual CPU`, () => {
        const guest = createKitGuest(setup, 2);
        require((who === 'owner' ? guest.protect : guest.request)([LOCKED]), 'it was refused');
        for (const vcpu of guest.vcpus) {
          for (const [start, end] of ATTEMPTS) {
            const taken = guest.calls?.request(vcpu, [rangeOf(start, end, ALL)]);
            require(taken === false, 'the guest changed an immutable page');
            guest.check(FRAMES, 'after an attempt of the guest');
          }
        }
      });
    }
  }
  add(
    undoneBy === 'policy-owner'
      ? 'the owner of the policy can change an immutable page by a later request, as declared'
      : 'no request of the owner changes an immutable page',
    () => ownerAsks(setup, undoneBy),
  );
  add('an immutable page is immutable when its memory was taken away and came again', () => {
    const guest = createKitGuest(setup);
    guest.protect([rangeOf(0x4_0010, 0x4_0020, READ_ONLY, true)]);
    guest.vm.removeMemory(rangeOf(0x4_0000, 0x4_0400, ALL).start);
    const start = rangeOf(0x4_0000, 0x4_0400, ALL).start;
    guest.vm.addMemory({ start, frames: 0x400, backing: guest.backing(start) });
    guest.check([0x4_0010, 0x4_001f, 0x4_0020], 'added again');
    const attempt = [rangeOf(0x4_0010, 0x4_0011, ALL)];
    if (undoneBy !== 'policy-owner') requireRefused(guest, attempt);
    else if (guest.calls !== undefined) require(!askAsGuest(guest, attempt), 'the guest changed it');
    guest.check([0x4_0010, 0x4_001f, 0x4_0020], 'after an attempt');
  });
  if (undoneBy !== 'policy-owner') {
    add(
      undoneBy === 'none'
        ? 'nothing undoes it: no restored state, no kexec and no reset'
        : 'the VMM undoes it, as declared, by replacing all that is enforced',
      () => replaced(setup, undoneBy),
    );
  }
  return cases;
}

function ownerAsks(setup: ConformanceSetup, undoneBy: PerPage['undoneBy']): void {
  const guest = createKitGuest(setup);
  guest.protect([LOCKED]);
  for (const [start, end] of ATTEMPTS) {
    const attempt = [rangeOf(start, end, ALL)];
    if (undoneBy === 'policy-owner') {
      const { refused } = guest.vm.protect(attempt);
      require(refused === undefined, `the owner was refused: ${JSON.stringify(refused)}`);
      guest.model.set(start, end, ALL);
      guest.bringIntoForce();
    } else requireRefused(guest, attempt);
    guest.check(FRAMES, 'after an attempt of the owner');
  }
}

function replaced(setup: ConformanceSetup, undoneBy: 'none' | 'vmm'): void {
  const guest = createKitGuest(setup);
  guest.protect([LOCKED]);
  const attempt = [rangeOf(0x210, 0x211, ALL)];
  const restored = guest.vm.restore(NOTHING);
  guest.bringIntoForce();
  if (undoneBy === 'vmm') {
    // How else the VMM could undo it is outside the contract.
    if (!restored) return;
    guest.model.clear();
    require(guest.protect(attempt), 'the page is immutable although the VMM replaced everything');
    guest.check(FRAMES, 'after a request');
    return;
  }
  guest.check(FRAMES, 'after an attempt to restore another state');
  requireRefused(guest, attempt);
  for (const kind of ['kexec', 'reset'] as const) {
    guest.vm.lifeCycle({ kind });
    guest.bringIntoForce();
    for (const vcpu of guest.vcpus) guest.restart(vcpu);
    requireRefused(guest, attempt);
    guest.check(FRAMES, `after ${kind}`);
  }
}

function requireRefused(guest: KitGuest, attempt: ReturnType<typeof rangeOf>[]): void {
  const { refused, applied } = guest.vm.protect(attempt);
  require(refused?.why === 'immutable' &&
    applied === 0, `refused: ${JSON.stringify(refused)}, expected immutable`);
}

function askAsGuest(guest: KitGuest, attempt: ReturnType<typeof rangeOf>[]): boolean {
  const [vcpu] = guest.vcpus;
  return vcpu !== undefined && guest.calls?.request(vcpu, attempt) === true;
}
