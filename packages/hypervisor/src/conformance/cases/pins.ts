import { CR0, CR4 } from '@heki/x86';
import type { PinResult } from '../../result.ts';
import { createKitGuest, type KitGuest } from '../kit-guest.ts';
import { type ConformanceCase, type ConformanceSetup, require } from '../setup.ts';

const LMSW_BITS = CR0.PE | CR0.MP | CR0.EM | CR0.TS;

/** Each declared bit that the kit's guest has set, on its own. */
function pinnable(setup: ConformanceSetup): { readonly register: 0 | 4; readonly bit: bigint }[] {
  const { pins } = setup.hypervisor.capabilities;
  const [vcpu] = createKitGuest(setup).vcpus;
  const bits: { register: 0 | 4; bit: bigint }[] = [];
  for (let shift = 0n; shift < 32n; shift++) {
    const bit = 1n << shift;
    if ((pins.cr0 & (vcpu?.registers.cr0 ?? 0n) & bit) !== 0n) bits.push({ register: 0, bit });
    if ((pins.cr4 & (vcpu?.registers.cr4 ?? 0n) & bit) !== 0n) bits.push({ register: 4, bit });
  }
  return bits;
}

export function pinBit(guest: KitGuest, register: 0 | 4, bit: bigint): PinResult {
  return guest.vm.pin(register === 0 ? { cr0: bit } : { cr4: bit });
}

/** Whether the register of `vcpu` keeps `bit` when the guest writes it with the bit inverted. */
export function holds(guest: KitGuest, vcpuIndex: number, register: 0 | 4, bit: bigint): boolean {
  const vcpu = guest.vcpus[vcpuIndex];
  require(vcpu !== undefined, `no virtual CPU ${vcpuIndex}`);
  const name = register === 0 ? 'cr0' : 'cr4';
  const before = vcpu.registers[name];
  vcpu.movToCr(register, before ^ bit);
  const kept = ((vcpu.registers[name] ^ before) & bit) === 0n;
  guest.restart(vcpu);
  return kept;
}

/** Pins of CR0 and CR4 on several virtual CPUs, tried by every instruction that can clear a bit. */
export function pinCases(setup: ConformanceSetup): readonly ConformanceCase[] {
  const cases: ConformanceCase[] = [];
  const add = (name: string, run: () => void): void => {
    cases.push({ area: 'pins', name, run });
  };
  const { semantics } = setup.hypervisor.capabilities.pins;
  for (const { register, bit } of pinnable(setup)) {
    const what = `bit ${bit.toString(2).length - 1} of CR${register}`;
    add(`${what} stays as it is on every virtual CPU once it is pinned`, () => {
      const guest = createKitGuest(setup, 2);
      const result = pinBit(guest, register, bit);
      require(result.refused === undefined &&
        ((register === 0 ? result.cr0 : result.cr4) & bit) !== 0n, 'a declared bit was not pinned');
      for (const index of [0, 1]) {
        require(holds(guest, index, register, bit), `virtual CPU ${index} changed a pinned bit`);
      }
      const late = guest.vm.createVcpu({ onException: () => 'fatal' });
      guest.restart(late);
      late.movToCr(register, late.registers[register === 0 ? 'cr0' : 'cr4'] ^ bit);
      require((late.registers[register === 0 ? 'cr0' : 'cr4'] & bit) !==
        0n, 'a virtual CPU that was created later changed a pinned bit');
      const denied = guest.takeDenials().filter(({ denial }) => denial.kind === 'register');
      require(denied.length > 0, 'a refused register write gave no event');
      const { verdicts } = setup.hypervisor.capabilities;
      require(denied.every(({ verdict }) =>
        verdicts.includes(verdict),
      ), 'a refused register write got a verdict that is not declared');
    });
    if (register === 0 && (bit & LMSW_BITS & ~CR0.PE) !== 0n) {
      add(`${what} cannot be cleared by LMSW either`, () => {
        const guest = createKitGuest(setup);
        pinBit(guest, 0, bit);
        guest.vcpus[0]?.lmsw(Number(CR0.PE));
        require(((guest.vcpus[0]?.registers.cr0 ?? 0n) & bit) !== 0n, 'LMSW cleared a pinned bit');
      });
    }
    add(`INIT lets a processor start although ${what} is pinned, and the pin binds it again`, () =>
      afterInit(setup, register, bit),
    );
    if (setup.guestCalls === undefined || semantics === 'whole-register') continue;
    add(
      `the guest pins ${what}, and a pin that it asks for while the bit is clear does not lock it out`,
      () => {
        const guest = createKitGuest(setup);
        const pin = guest.calls?.pin;
        const [vcpu] = guest.vcpus;
        if (pin === undefined || vcpu === undefined) return;
        require(pin(vcpu, register, bit), 'a declared bit was refused');
        require(holds(guest, 0, register, bit), 'a pin of the guest does not hold');
        // No processor runs 64-bit code without these.
        if ((bit & (register === 0 ? CR0.PE | CR0.PG : CR4.PAE)) !== 0n) return;
        const other = createKitGuest(setup);
        const [clear] = other.vcpus;
        if (clear === undefined) return;
        const name = register === 0 ? 'cr0' : 'cr4';
        clear.registers[name] &= ~bit;
        other.calls?.pin?.(clear, register, bit);
        // Another bit than the pinned one, so that the write is looked at: CR0.MP, CR4.MCE or CR4.TSD.
        const free = register === 0 ? CR0.MP : bit === CR4.MCE ? CR4.TSD : CR4.MCE;
        require(bit === free ||
          clear.movToCr(register, clear.registers[name] ^ free).kind ===
            'done', 'the guest can no longer write its register');
      },
    );
  }
  add('bits that nobody pinned stay free', () => {
    const guest = createKitGuest(setup);
    const [vcpu] = guest.vcpus;
    if (vcpu === undefined) return;
    const [first] = pinnable(setup);
    if (first !== undefined && semantics !== 'whole-register') pinBit(guest, first.register, first.bit);
    // CR4.TSD and CR0.MP: any kernel may write them.
    require(vcpu.movToCr(4, vcpu.registers.cr4 ^ 4n).kind === 'done', 'CR4.TSD cannot be written');
    require(vcpu.movToCr(0, vcpu.registers.cr0 ^ CR0.MP).kind === 'done', 'CR0.MP cannot be written');
  });
  add('a bit that is not declared is dropped, and said to be', () => {
    const { cr0, cr4 } = setup.hypervisor.capabilities.pins;
    const guest = createKitGuest(setup);
    const all = 0xffff_ffffn;
    const { dropped, refused } = guest.vm.pin({ cr0: all & ~cr0, cr4: all & ~cr4 });
    require(refused !== undefined ||
      (dropped.cr0 === (all & ~cr0) &&
        dropped.cr4 === (all & ~cr4)), 'bits outside the declared masks are not reported as dropped');
  });
  return cases;
}

function afterInit(setup: ConformanceSetup, register: 0 | 4, bit: bigint): void {
  const guest = createKitGuest(setup, 2);
  pinBit(guest, register, bit);
  guest.vm.lifeCycle({ kind: 'init', vcpu: 1 });
  const starting = guest.vcpus[1];
  require(starting !== undefined, 'no virtual CPU 1');
  require(holds(guest, 0, register, bit), 'INIT of another virtual CPU freed a pinned bit');
  // A trampoline's steps: protected mode, PAE, long mode, paging; then the full registers.
  const { cr0, cr4, cr3, efer } = guest.vcpus[0]?.registers ?? starting.registers;
  const steps = [
    starting.movToCr(0, CR0.PE | CR0.ET),
    starting.movToCr(4, 0x20n),
    starting.movToCr(3, cr3),
    starting.wrmsr(0xc000_0080, efer & ~0x400n),
    starting.movToCr(0, cr0),
    starting.movToCr(4, cr4),
  ];
  require(steps.every(({ kind }) => kind === 'done'), 'a processor that took INIT cannot start');
  require(holds(guest, 1, register, bit), 'the processor that started again is not bound');
}
