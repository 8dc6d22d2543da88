import { createKvm } from '@heki/kvm';
import { CR4, deriveProcessor, EFER, type PagingRegisters } from '@heki/x86';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ATTACKS } from './attacks/attacks.ts';
import { findTargets } from './attacks/targets.ts';
import { createMachine } from './create-machine.ts';
import { smallKernel } from './testing/small-kernel.ts';

const kernel = smallKernel();
const targets = findTargets(kernel.kernel);
const clearSmep = ATTACKS.find(({ name }) => name === 'clear-smep') ?? expect.unreachable();
const tables = { addressBits: 30, gigabyteLeaves: false };

/** The outcome of clearing SMEP on a processor that was derived from `registers`, pinned or not. */
function outcome(registers: PagingRegisters, pinned: boolean): string {
  const { cpu } = deriveProcessor({ registers, tables });
  const { memoryMap } = kernel;
  const hypervisor = createKvm({ processor: cpu });
  const machine = createMachine({ hypervisor, kernel: kernel.kernel, memoryMap, registers, heki: false });
  if (pinned) machine.virtualMachine.pin({ cr4: CR4.SMEP });
  return machine.attack(clearSmep, targets).outcome;
}

const bits = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const registers = fc.record({ cr4: bits, efer: bits }).map(({ cr4, efer }): PagingRegisters => {
  const own = kernel.registers;
  return { ...own, cr4: own.cr4 | (cr4 & ~CR4.LA57), efer: own.efer | (efer & ~EFER.LMA) };
});

test('whatever bits of CR4 and EFER a dump has set, SMEP can be cleared where nothing pins it, and only there', () => {
  fc.assert(
    fc.property(registers, (state) => {
      expect([outcome(state, false), outcome(state, true)]).toEqual(['succeeded', 'blocked']);
    }),
    { numRuns: 40 },
  );
});

test.each(Object.entries(CR4).filter(([name]) => name !== 'LA57'))('so it is with CR4.%s', (_, bit) => {
  const state = { ...kernel.registers, cr4: kernel.registers.cr4 | bit };
  expect([outcome(state, false), outcome(state, true)]).toEqual(['succeeded', 'blocked']);
});

test.each(Object.entries(EFER))('so it is with EFER.%s', (_, bit) => {
  const state = { ...kernel.registers, efer: kernel.registers.efer | bit };
  expect([outcome(state, false), outcome(state, true)]).toEqual(['succeeded', 'blocked']);
});
