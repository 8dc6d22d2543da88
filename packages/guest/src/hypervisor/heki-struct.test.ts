import { type Gfn, type VirtualAddress, virtualAddress } from '@heki/physical-memory';
import type { Profile } from '@heki/series';
import { expect, test } from 'vitest';
import { createHekiGuest, HekiCommand, type HekiVariables } from '../index.ts';
import { ALL, rw, rx, smallKernel } from '../testing/small-kernel-guest.ts';
import { createTestKernel } from '../testing/test-kernel.ts';

const HEKI = virtualAddress(0xffff_ffff_8200_0000n);
const OPERATIONS = virtualAddress(0xffff_ffff_8200_0100n);
const LOCK_CRS = virtualAddress(0xffff_ffff_8100_0000n);
const PROTECT_MEMORY = virtualAddress(0xffff_ffff_8100_0010n);
/** What the kernel of the tests ends its functions with. */
class Oops extends Error {}

/** A core whose variables lie in the memory of its kernel, which has been protected. */
function protectedCore(profile: Profile) {
  const memory = new Map<VirtualAddress, bigint>();
  const called: VirtualAddress[] = [];
  const variables: HekiVariables = {
    heki: HEKI,
    operations: OPERATIONS,
    code: { lockCrs: LOCK_CRS, protectMemory: PROTECT_MEMORY },
    load(address) {
      if (address < 4096n) throw new Oops();
      return memory.get(address) ?? 0n;
    },
    store: (address, _bytes, value) => void memory.set(address, value),
    call(address, run) {
      called.push(address);
      if (run === undefined) throw new Oops();
      return run();
    },
    peek: (address) => Number(memory.get(address) ?? 0n),
  };
  const kernel = { ...createTestKernel({ tables: smallKernel(), validFrames: ALL }), variables };
  const lists: number[] = [];
  const guest = createHekiGuest({ kernel, profile });
  guest.hypervisor = {
    lockCrs: () => 0,
    protectMemory(list) {
      lists.push(list);
      return 0;
    },
  };
  guest.earlyInit();
  guest.lateInit();
  return { guest, memory, called, lists };
}

const change = (frame: number) => [{ guestFrame: frame as Gfn, frames: 1, ...rx }];

test.each(['rfc-v2', 'hardened'] as const)(
  'the core of %s fills its variables, and calls through them',
  (profile) => {
    const { memory, called } = protectedCore(profile);
    expect([...memory].filter(([, value]) => value !== 0n)).toEqual([
      [OPERATIONS, LOCK_CRS],
      [(OPERATIONS + 8n) as VirtualAddress, PROTECT_MEMORY],
      [HEKI, OPERATIONS],
      [(HEKI + 16n) as VirtualAddress, 1n],
    ]);
    expect(called).toEqual([LOCK_CRS, PROTECT_MEMORY]);
  },
);

test('it does what memory says, whoever wrote it', () => {
  const { guest, memory, lists } = protectedCore('hardened');
  const sent = lists.length;
  memory.set((HEKI + 16n) as VirtualAddress, 0n);
  expect(guest.protectsMemory).toBe(false);
  expect(guest.applyLeaves(HekiCommand.MAP, change(0x3000))).toBe(0);
  expect(lists.length).toBe(sent);
  memory.set((HEKI + 16n) as VirtualAddress, 1n);
  expect(guest.applyLeaves(HekiCommand.MAP, change(0x3001))).toBe(0);
  expect(lists.length).toBe(sent + 1);
});

test('what ends the function of the kernel in the middle of a hook passes through, and the counters stay as they have become', () => {
  const { guest, memory } = protectedCore('hardened');
  memory.set(HEKI, 0n);
  expect(() => guest.applyLeaves(HekiCommand.MAP, change(0x3000))).toThrow(Oops);
  memory.set(HEKI, 0x5000n);
  expect(() => guest.applyLeaves(HekiCommand.MAP, change(0x3001))).toThrow(Oops);
  memory.set(HEKI, OPERATIONS);
  const counted = guest.counters(0x3000 as Gfn);
  expect(counted).toEqual({ read: 2, write: 1, execute: 1 });
  guest.applyLeaves(HekiCommand.MAP, [{ guestFrame: 0x3002 as Gfn, frames: 1, ...rw }]);
  expect(guest.counters(0x3000 as Gfn)).toEqual(counted);
});
