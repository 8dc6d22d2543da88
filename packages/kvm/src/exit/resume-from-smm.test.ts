import { CR0, CR4, EFER } from '@heki/x86';
import { expect, test } from 'vitest';
import { createGuest } from '../testing/guest.ts';

const withoutSmep = ({ cpu }: ReturnType<typeof createGuest>): bigint => cpu.registers.cr4 & ~CR4.SMEP;

test.each([
  ['rfc-v2', undefined, true],
  ['hardened', 'stopped', false],
] as const)('%s: RSM that loads CR4 without a pinned bit', (profile, halted, clear) => {
  const guest = createGuest({ profile });
  guest.vm.pin({ cr4: CR4.SMEP });
  guest.vm.resumeFromSmm(guest.cpu, { cr4: withoutSmep(guest) });
  expect(guest.cpu.halted?.kind).toBe(halted);
  expect((guest.cpu.registers.cr4 & CR4.SMEP) === 0n).toBe(clear);
});

test('RSM gives back what the SMI found, and what firmware has changed that no pin holds', () => {
  const guest = createGuest();
  guest.vm.pin({ cr0: CR0.WP, cr4: CR4.SMEP });
  guest.vm.resumeFromSmm(guest.cpu, {});
  guest.vm.resumeFromSmm(guest.cpu, { cr4: guest.cpu.registers.cr4 | CR4.TSD });
  expect(guest.cpu.halted).toBeUndefined();
  expect(guest.cpu.registers.cr4 & (CR4.SMEP | CR4.TSD)).toBe(CR4.SMEP | CR4.TSD);
});

test('a state that 64-bit mode cannot have shuts the processor down', () => {
  const guest = createGuest();
  guest.vm.resumeFromSmm(guest.cpu, { efer: guest.cpu.registers.efer & ~EFER.LMA });
  expect(guest.cpu.halted?.kind).toBe('stopped');
});
