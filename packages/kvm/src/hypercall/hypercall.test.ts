import { PageListEntryWord, pageListEntryWord } from '@heki/hypercall/kvm';
import type { Gfn } from '@heki/physical-memory';
import { CR4, EFER } from '@heki/x86';
import { expect, test } from 'vitest';
import { createGuest, kernelVa, LIST_FRAME, poke, range } from '../testing/guest.ts';

const ENOSYS = -1000;
const EPERM = -1;

test('unknown numbers are -KVM_ENOSYS and change nothing but RAX', () => {
  const guest = createGuest();
  guest.cpu.registers.rdi = 7n;
  for (const number of [0, 2, 5, 10, 11, 12, 15, 2 ** 40])
    expect(guest.hypercall(number, 1, 2, 3, 4)).toBe(ENOSYS);
  const { rbx, rcx, rdx, rsi, rdi } = guest.cpu.registers;
  expect([rbx, rcx, rdx, rsi, rdi]).toEqual([1n, 2n, 3n, 4n, 7n]);
  expect(guest.hypercall(1)).toBe(0);
});

test('user code gets -KVM_EPERM for every number', () => {
  const guest = createGuest();
  guest.cpu.registers.cpl = 3;
  expect(guest.hypercall(13, 0, 0, 1)).toBe(EPERM);
  expect(guest.hypercall(14, 0)).toBe(EPERM);
  expect(guest.hypercall(99)).toBe(EPERM);
});

test('outside 64-bit mode number, arguments and result are cut to 32 bits', () => {
  const guest = createGuest({ registers: { codeSegment64: false, efer: EFER.LME | EFER.LMA | EFER.NXE } });
  const { registers } = guest.cpu;
  Object.assign(registers, { rax: 0xffff_ffff_0000_000dn, rbx: 1n << 32n, rcx: 0n, rdx: (5n << 32n) | 1n });
  guest.cpu.vmcall();
  expect(registers.rax).toBe(1n);
  registers.rax = 99n;
  guest.cpu.vmcall();
  expect(registers.rax).toBe(0xffff_fc18n);
});

test('a completed hypercall moves RIP behind the instruction', () => {
  const guest = createGuest();
  const { rip } = guest.cpu.registers;
  guest.hypercall(13, 0, 0, 1);
  expect(guest.cpu.registers.rip).toBe(rip + 3n);
});

test('hypercall 13 tells its version, only when asked exactly so', () => {
  const guest = createGuest();
  expect(guest.hypercall(13, 0, 0, 1)).toBe(1);
  for (const args of [
    [4, 0, 1],
    [0, 1, 1],
    [0, 0, 2],
    [0, 0x10000, 3],
  ]) {
    expect(guest.hypercall(13, ...args)).toBe(-22);
  }
});

test('a list with an address of 0 is empty, and allowed', () => {
  const guest = createGuest();
  expect(guest.hypercall(14, 0)).toBe(0);
  expect(guest.of('protected')).toEqual([
    { type: 'protected', by: 'guest', result: { applied: 0, weakened: [] } },
  ]);
});

test.each(['rfc-v2', 'hardened'] as const)(
  'a range without any permission is refused, and nothing changes: %s',
  (profile) => {
    const guest = createGuest({ profile });
    expect(guest.protect([range(0x200, 0x201, 0)])).toBe(-22);
    expect(guest.cpu.store(kernelVa(0x20_0000), 8, 1n)).toMatchObject({ kind: 'done' });
  },
);

test('a range whose permissions have any other of 64 bits is refused, and nothing changes', () => {
  const guest = createGuest();
  for (let bit = 4n; bit < 64n; bit++) {
    guest.protect([range(0x200, 0x201, 3)]);
    // The one entry of the list that this left, behind its header of 16 bytes; permissions come after two addresses.
    const at = LIST_FRAME * 4096 + 4 * (pageListEntryWord(0) + PageListEntryWord.PERMISSIONS);
    poke(guest, at, [1n | (1n << bit)]);
    expect([bit, guest.hypercall(14, LIST_FRAME * 4096)]).toEqual([bit, -22]);
  }
  expect(guest.cpu.store(kernelVa(0x20_0000), 8, 1n)).toMatchObject({ kind: 'done' });
});

test('the default of the first call is given once: what later ones do not name stays mapped', () => {
  const guest = createGuest();
  const present = () => [0x200, 0x400].map((gfn) => guest.vm.effectiveRights(gfn as Gfn)?.present);
  for (const gpa of [0x20_0000, 0x40_0000]) guest.cpu.store(kernelVa(gpa), 8, 1n);
  expect(present()).toEqual([true, true]);
  guest.protect([range(0x200, 0x201, 1)]);
  expect(present()).toEqual([false, false]);
  for (const gpa of [0x20_0000, 0x40_0000]) guest.cpu.load(kernelVa(gpa), 8);
  guest.protect([range(0x200, 0x201, 3)]);
  expect(present()).toEqual([false, true]);
});

test('what a page will be granted is told with the workaround for large executable leaves, too', () => {
  const guest = createGuest({ nxHugePages: true });
  const all = { read: true, write: true, supervisorExecute: true, userExecute: true };
  expect(guest.vm.effectiveRights(0x300 as Gfn)).toEqual({ ...all, present: false });
});

test('what a page will be granted is told before it is mapped, and is what it is granted then', () => {
  const guest = createGuest();
  const all = { read: true, write: true, supervisorExecute: true, userExecute: true };
  expect(guest.vm.effectiveRights(0x300 as Gfn)).toEqual({ ...all, present: false });
  guest.cpu.store(kernelVa(0x30_0000), 8, 1n);
  guest.cpu.fetch(kernelVa(0x30_0000));
  expect(guest.vm.effectiveRights(0x300 as Gfn)).toEqual({ ...all, present: true });
});

test('lists of many pages are applied oldest first', () => {
  const guest = createGuest();
  const ranges = Array.from({ length: 400 }, (_, index) =>
    range(0x1000 + index, 0x1400, index % 2 === 0 ? 1 : 3),
  );
  expect(guest.protect(ranges)).toBe(0);
  expect(guest.of('list-page').map((event) => Number(event.gpa) / 4096)).toEqual([
    LIST_FRAME + 2,
    LIST_FRAME + 1,
    LIST_FRAME,
  ]);
  expect(guest.of('range').map((event) => event.start)).toEqual(ranges.map(({ start }) => start));
  expect(guest.vm.statistics.ranges).toEqual({ sent: 400, applied: 400, dropped: 0, refused: 0 });
});

test('hardened: a list longer than the budget is refused as a whole, without harm to the host', () => {
  const guest = createGuest({ budget: { listPages: 3 } });
  const ranges = Array.from({ length: 4 * 169 }, (_, index) => range(0x1000 + index, 0x1001 + index, 1));
  expect(guest.protect(ranges)).toBe(-7);
  expect(guest.vm.attributes.extents).toBe(0);
  expect(guest.of('protected')[0]?.result.refused).toEqual({ at: -1, why: 'too-much' });
  expect(guest.vm.statistics).toMatchObject({ incidents: 0, ranges: { sent: 507, refused: 507 } });
  expect(guest.protect(ranges.slice(0, 3 * 169))).toBe(0);
});

test('the host log says what the series says', () => {
  const guest = createGuest({ profile: 'rfc-v2', mbec: false });
  guest.protect([range(0x200, 0x300, 0xd)]);
  guest.protect([range(0x400, 0x401, 3)]);
  guest.protect([range(0x200, 0x201, 3)]);
  guest.hypercall(14, 0x1234_0000_0000);
  guest.hypercall(13, 4, CR4.SMEP);
  guest.cpu.movToCr(4, guest.cpu.registers.cr4 & ~CR4.SMEP);
  expect(guest.of('log').map(({ text }) => text)).toEqual([
    'heki: Request to protect GFNs 200-300 with immutable permissions=r_x',
    'heki: Clearing kernel exec depends on MBEC, which is disabled.',
    'heki: Request to protect GFNs 400-401 with mutable permissions=rwx',
    'kvm: heki: Guest tried to change immutable permission for GFNs 200-201',
    'heki: Failed to set permissions',
    "heki: Can't read list 123400000000",
    'heki: Blocked CR4 update: 0x2108a0',
  ]);
});
