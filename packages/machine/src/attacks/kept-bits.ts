import type { Machine } from '../machine.ts';

/** Bits of CR0 and CR4, as masks. */
export interface ControlRegisterBits {
  readonly cr0: bigint;
  readonly cr4: bigint;
}

/**
 * Which of `pinned` keep their value whatever the kernel writes. Each is flipped by a MOV of its own at CPL 0, and put back where the
 * register took it: a pin may be hollow (B-H13), so that what was pinned is not what is kept.
 *
 * @param createMachine gives a machine in which the pins are in force; another after a write that stopped the guest
 */
export function keptBits(pinned: ControlRegisterBits, createMachine: () => Machine): ControlRegisterBits {
  let machine: Machine | undefined;
  const kept = (cr: 0 | 4, bits: bigint): bigint => {
    let result = 0n;
    for (let bit = 1n; bit <= bits; bit <<= 1n) {
      if ((bits & bit) === 0n) continue;
      if (machine === undefined || machine.vcpu.halted !== undefined) machine = createMachine();
      const { vcpu } = machine;
      const value = (): bigint => (cr === 0 ? vcpu.registers.cr0 : vcpu.registers.cr4);
      const before = value();
      vcpu.movToCr(cr, before ^ bit);
      if (value() === before) result |= bit;
      else vcpu.movToCr(cr, before);
    }
    return result;
  };
  return { cr0: kept(0, pinned.cr0), cr4: kept(4, pinned.cr4) };
}
