import { decodeHekiExit } from '@heki/hypercall/kvm';
import { AMD_ZEN4, CR0, CR4 } from '@heki/x86';
import { expect, test } from 'vitest';
import type { UserExit } from '../exit/vmm.ts';
import { createGuest } from '../testing/guest.ts';

const GP = { kind: 'exception', vector: 13, errorCode: 0 };
const DONE = { kind: 'done' };

test('a pinned bit stays set, alone or with others, and RIP stays at the MOV', () => {
  const guest = createGuest();
  expect(guest.hypercall(13, 4, CR4.SMEP | CR4.SMAP | CR4.UMIP)).toBe(0);
  const { registers } = guest.cpu;
  const { rip, cr4 } = registers;
  expect(guest.cpu.movToCr(4, cr4 & ~CR4.SMEP)).toMatchObject(GP);
  expect(guest.cpu.movToCr(4, (cr4 & ~CR4.SMEP) | CR4.VME)).toMatchObject(GP);
  expect(guest.cpu.movToCr(4, 0n)).toMatchObject(GP);
  expect([registers.rip, registers.cr4]).toEqual([rip, cr4]);
  expect(guest.vm.statistics.registerDenials).toBe(3);
  expect(guest.cpu.movToCr(4, cr4 ^ CR4.TSD)).toMatchObject(DONE);
  expect(guest.cpu.movToCr(4, cr4 | CR4.VME)).toMatchObject(DONE);
  expect(guest.cpu.movToCr(4, cr4)).toMatchObject(DONE);
});

test('pins add up, over calls and virtual CPUs, and nothing the guest can do takes them away', () => {
  const guest = createGuest();
  const second = guest.addCpu();
  guest.hypercall(13, 4, CR4.SMEP);
  guest.hypercall(13, 4, CR4.SMAP);
  guest.hypercall(13, 0, CR0.WP);
  expect(guest.vm.pins).toEqual({ cr0: CR0.WP, cr4: CR4.SMEP | CR4.SMAP });
  expect(second.movToCr(4, second.registers.cr4 & ~CR4.SMAP)).toMatchObject(GP);
  expect(second.movToCr(0, second.registers.cr0 & ~CR0.WP)).toMatchObject(GP);
  expect(guest.addCpu().movToCr(4, CR4.PAE)).toMatchObject(GP);
});

for (const profile of ['rfc-v2', 'hardened'] as const) {
  test(`${profile}: hypercall 13 refuses other registers, empty and foreign masks, and CR0 without WP`, () => {
    const guest = createGuest({ profile });
    for (const [cr, pin] of [
      [3, 1n],
      [8, 1n],
      [1n << 32n, CR0.WP],
      [(1n << 32n) + 4n, CR4.SMEP],
      [0, 0n],
      [4, 0n],
      [0, CR0.NE],
      [0, CR0.WP | (1n << 40n)],
      [0, CR0.WP | CR0.CD],
      [4, CR4.PGE],
      [4, CR4.SMEP | CR4.LA57],
      [4, 1n << 63n],
    ] as const) {
      expect(guest.hypercall(13, cr, pin, 0)).toBe(-22);
    }
    expect(guest.vm.pins).toEqual({ cr0: 0n, cr4: 0n });
  });

  test(`${profile}: exits 39 and 40 are off until enabled, then tell the VMM, who cannot veto`, () => {
    const exits: UserExit[] = [];
    const guest = createGuest({ profile, abi: 'heki-v2', vmm: { onExit: (exit) => exits.push(exit) } });
    const { ioctls } = guest.vm;
    expect([ioctls.checkExtension(235), ioctls.checkExtension(236), ioctls.checkExtension(999)]).toEqual([
      3, 3, 0,
    ]);
    guest.hypercall(13, 4, CR4.UMIP);
    guest.cpu.movToCr(4, 0n);
    expect(exits).toEqual([]);
    expect(ioctls.enableCapability(235, 4n)).toBe(-22);
    expect(ioctls.enableCapability(999, 1n)).toBe(-22);
    expect(ioctls.enableCapability(235, 3n)).toBe(0);
    expect(ioctls.enableCapability(236, 2n)).toBe(0);

    expect(guest.hypercall(13, 4, CR4.SMEP)).toBe(0);
    const value = guest.cpu.registers.cr4 & ~CR4.SMEP;
    expect(guest.cpu.movToCr(4, value)).toMatchObject(GP);
    expect(exits).toMatchObject([
      { reason: 'heki-configure', number: 39, cr: 4, pinned: CR4.SMEP },
      { reason: 'heki-denial', number: 40, cr: 4, value },
    ]);
    const payloads = exits.map((exit) => ('payload' in exit ? decodeHekiExit(exit.payload) : undefined));
    expect(payloads).toEqual([
      { reason: 2n, value: CR4.SMEP },
      { reason: 2n, value },
    ]);
  });
}

test('a VMM may do what ioctls it likes while it handles an exit', () => {
  const answers: number[] = [];
  const guest = createGuest({
    abi: 'heki-v2',
    vmm: {
      onExit() {
        const request = { address: 0n, size: 0x1000n, attributes: 0n, flags: 0n };
        answers.push(guest.vm.ioctls.setMemoryAttributes(request), guest.vm.locksHeld.length);
      },
    },
  });
  guest.vm.ioctls.enableCapability(235, 3n);
  guest.hypercall(13, 0, CR0.WP);
  expect(answers).toEqual([0, 0]);
});

test('hardened numbers the exits where upstream has none', () => {
  const exits: UserExit[] = [];
  const guest = createGuest({ vmm: { onExit: (exit) => exits.push(exit) } });
  expect(guest.vm.ioctls.checkExtension(235)).toBe(0);
  expect(guest.vm.ioctls.enableCapability(0x48454b49, 1n)).toBe(0);
  guest.hypercall(13, 0, CR0.WP);
  expect(exits[0]?.number).toBe(0x48454b49);
});

test('the guest reads its own values in the bits that the host owns', () => {
  const guest = createGuest();
  guest.hypercall(13, 4, CR4.SMEP);
  const wanted = guest.cpu.registers.cr4 | CR4.VME;
  guest.cpu.movToCr(4, wanted);
  expect(guest.cpu.movFromCr(4)).toMatchObject({ value: wanted });
  guest.cpu.clts();
  expect(guest.cpu.movFromCr(0)).toMatchObject({ value: guest.cpu.registers.cr0 });
});

test('a write that the processor itself refuses is #GP without a denial', () => {
  const guest = createGuest();
  expect(guest.cpu.movToCr(0, CR0.PG)).toMatchObject(GP);
  expect(guest.cpu.movToCr(4, guest.cpu.registers.cr4 & ~CR4.PAE)).toMatchObject(GP);
  expect(guest.vm.statistics.registerDenials).toBe(0);
});

test('on AMD every change of CR0 beyond TS and MP exits, so that WP is pinned without masks', () => {
  const guest = createGuest({ processor: AMD_ZEN4 });
  guest.hypercall(13, 0, CR0.WP);
  expect(guest.cpu.movToCr(0, guest.cpu.registers.cr0 & ~CR0.WP)).toMatchObject(GP);
});

test('after INIT a processor may start in real mode, and is bound again when it turns paging on', () => {
  const guest = createGuest();
  guest.hypercall(13, 0, CR0.WP);
  guest.hypercall(13, 4, CR4.SMEP);
  const { registers } = guest.cpu;
  const { cr3, efer } = registers;
  guest.vm.lifeCycle({ kind: 'init', vcpu: 0 });
  expect(guest.cpu.movToCr(0, CR0.PE | CR0.ET)).toMatchObject(DONE);
  expect(guest.cpu.movToCr(4, CR4.PAE)).toMatchObject(DONE);
  Object.assign(registers, { cr3, efer });
  expect(guest.cpu.movToCr(0, CR0.PE | CR0.ET | CR0.PG)).toMatchObject(GP);
  expect(guest.cpu.movToCr(0, CR0.PE | CR0.ET | CR0.PG | CR0.WP)).toMatchObject(DONE);
  expect(guest.cpu.movToCr(4, CR4.PAE | CR4.SMEP)).toMatchObject(DONE);
  expect(guest.cpu.movToCr(4, CR4.PAE)).toMatchObject(GP);
});

test('after INIT a processor that the VMM gives its registers is bound by pins that come then', () => {
  const guest = createGuest();
  const { registers } = guest.cpu;
  const { cr0, cr3, cr4, efer, rip, codeSegment64 } = registers;
  guest.vm.lifeCycle({ kind: 'init', vcpu: 0 });
  Object.assign(registers, { cr0, cr3, cr4, efer, rip, codeSegment64 });
  expect(guest.hypercall(13, 0, CR0.WP)).toBe(0);
  expect(guest.hypercall(13, 4, CR4.SMEP)).toBe(0);
  expect(guest.cpu.movToCr(4, cr4 & ~CR4.SMEP)).toMatchObject(GP);
  expect(guest.cpu.movToCr(0, cr0 & ~CR0.WP)).toMatchObject(GP);
});

test('the VMM can pin by itself, and hears what cannot be pinned', () => {
  const guest = createGuest();
  expect(guest.vm.pin({ cr0: CR0.WP | CR0.NE, cr4: CR4.SMEP | CR4.PGE })).toEqual({
    cr0: CR0.WP,
    cr4: CR4.SMEP,
    dropped: { cr0: CR0.NE, cr4: CR4.PGE },
  });
  expect(guest.cpu.movToCr(0, guest.cpu.registers.cr0 & ~CR0.WP)).toMatchObject(GP);
});
