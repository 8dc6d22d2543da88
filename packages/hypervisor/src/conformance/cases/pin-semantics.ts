import { CR0, CR4 } from '@heki/x86';
import type { PinSemantics } from '../../capabilities.ts';
import { guestWith, nameOf, optionalBit, pinBit } from '../control-bit.ts';
import { type ConformanceCase, type ConformanceSetup, require } from '../setup.ts';

/** What the declared meaning of a pin says about the other bits of its register, and about a bit that was clear. */
const MEANINGS: {
  readonly [semantics in PinSemantics]: { readonly othersFree: boolean; readonly clearCanBeSet: boolean };
} = {
  'set-bits-stay-set': { othersFree: true, clearCanBeSet: true },
  'exact-value': { othersFree: true, clearCanBeSet: false },
  'whole-register': { othersFree: false, clearCanBeSet: false },
};

/** What a pin means: which of the three, and none of the other two. */
export function semanticsCases(setup: ConformanceSetup): readonly ConformanceCase[] {
  const { semantics } = setup.hypervisor.capabilities.pins;
  const each = optionalBit(setup);
  if (each === undefined) return [];
  const { register, bit } = each;
  const name = nameOf(each);
  const { othersFree, clearCanBeSet } = MEANINGS[semantics];
  return [
    {
      area: 'pins',
      name: `a pin is ${semantics}: the other bits of its register are ${othersFree ? 'free' : 'not'}`,
      run() {
        const guest = guestWith(setup, each);
        pinBit(guest, each);
        const free = register === 0 ? CR0.MP : bit === CR4.TSD ? CR4.MCE : CR4.TSD;
        for (const vcpu of bit === free ? [] : guest.vcpus) {
          const before = vcpu.registers[name];
          vcpu.movToCr(register, before ^ free);
          const changed = vcpu.registers[name] !== before;
          require(changed ===
            othersFree, `another bit of CR${register} ${changed ? 'changed' : 'did not change'}`);
        }
      },
    },
    {
      area: 'pins',
      name: `a pin is ${semantics}: a bit that was clear ${clearCanBeSet ? 'can be set' : 'stays clear'}`,
      run() {
        const guest = guestWith(setup, each);
        for (const vcpu of guest.vcpus) vcpu.registers[name] &= ~bit;
        pinBit(guest, each);
        for (const vcpu of guest.vcpus) {
          vcpu.movToCr(register, vcpu.registers[name] | bit);
          const set = (vcpu.registers[name] & bit) !== 0n;
          require(set === clearCanBeSet, `the bit is ${set ? 'set' : 'clear'}`);
        }
      },
    },
  ];
}
