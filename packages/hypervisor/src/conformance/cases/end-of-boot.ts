import type { Vcpu } from '@heki/vcpu';
import { holds, optionalBit, pinBit } from '../control-bit.ts';
import { ALL, createKitGuest, type KitGuest, rangeOf, rightsOf, SECOND_REGION } from '../kit-guest.ts';
import { type ConformanceCase, type ConformanceSetup, require } from '../setup.ts';

const FRAMES = [0x1ff, 0x200, 0x201, 0x300, 0x301, SECOND_REGION.start];
const ASKED = [rangeOf(0x200, 0x201, rightsOf('ru')), rangeOf(0x300, 0x301, rightsOf('rxu'))];

/**
 * The guest gives up its say: after it told that boot has ended its requests are refused, and nothing that a guest, a kexec or the
 * coming and going of memory does gives it back. Only the owner of the policy changes rights from then on.
 */
export function endOfBootCases(setup: ConformanceSetup): readonly ConformanceCase[] {
  if (setup.guestCalls === undefined || createKitGuest(setup).calls?.endOfBoot === undefined) return [];
  const { lifeCycle, saveRestore } = setup.hypervisor.capabilities;
  const cases: ConformanceCase[] = [];
  const add = (name: string, run: () => void): void => {
    cases.push({ area: 'immutability', name, run });
  };
  add('after the end of boot the guest is refused on every virtual CPU, and rights and pins stay', () => {
    const { guest } = ended(setup);
    for (const vcpu of guest.vcpus) requireRefused(guest, vcpu, 'after the end of boot');
    const bit = optionalBit(setup);
    if (bit === undefined) return;
    const pinned = createKitGuest(setup, 2);
    for (const vcpu of pinned.vcpus) vcpu.registers[bit.register === 0 ? 'cr0' : 'cr4'] |= bit.bit;
    pinBit(pinned, bit);
    say(pinned);
    for (const vcpu of pinned.vcpus) require(holds(pinned, vcpu, bit), 'a pin no longer holds');
  });
  add('the guest is heard until the end of boot', () => {
    const guest = createKitGuest(setup);
    require(guest.request(ASKED), 'refused before the end of boot');
    require(guest.request([rangeOf(0x200, 0x201, ALL)]), 'refused again before the end of boot');
    guest.check(FRAMES, 'before the end of boot');
  });
  add('the owner of the policy may still relax, and that gives the guest nothing back', () => {
    const { guest, first } = ended(setup);
    require(guest.protect([rangeOf(0x200, 0x201, ALL)]), 'the owner was refused');
    guest.check(FRAMES, 'after the owner relaxed');
    requireRefused(guest, first, 'after the owner relaxed');
  });
  add('neither INIT nor memory that comes again gives the guest its say back', () => {
    const { guest, first } = ended(setup);
    guest.vm.lifeCycle({ kind: 'init', vcpu: 1 });
    const { start, frames } = SECOND_REGION;
    guest.vm.removeMemory(start);
    guest.vm.addMemory({ start, frames, backing: guest.backing(start) });
    guest.bringIntoForce();
    for (const vcpu of guest.vcpus) guest.restart(vcpu);
    requireRefused(guest, first, 'after INIT of another virtual CPU');
  });
  for (const kind of ['reset', 'kexec'] as const) {
    const policy = lifeCycle[kind];
    add(
      `${kind} ${policy === 'clear' ? 'begins a new boot' : 'leaves boot ended'}, as it does with rights`,
      () => {
        const { guest, first } = ended(setup);
        guest.vm.lifeCycle({ kind });
        guest.bringIntoForce();
        for (const vcpu of guest.vcpus) guest.restart(vcpu);
        if (policy === 'keep') {
          requireRefused(guest, first, `after ${kind}`);
          return;
        }
        guest.model.clear();
        require(guest.request(ASKED), `the new kernel is refused after ${kind}`);
        guest.check(FRAMES, `after ${kind} and a request`);
      },
    );
  }
  if (saveRestore) {
    add('a state that is saved after the end of boot has it ended where it is restored', () => {
      const { guest } = ended(setup);
      const state = guest.vm.save();
      require(state !== undefined, 'nothing was saved');
      const other = createKitGuest(setup);
      const [vcpu] = other.vcpus;
      require(other.vm.restore(state) && vcpu !== undefined, 'the state was not taken');
      other.bringIntoForce();
      for (const { start, end, rights } of [...ASKED, ...state.ranges]) other.model.set(start, end, rights);
      requireRefused(other, vcpu, 'after restore');
      // The other way round: a state from before it.
      require(other.vm.restore({ ranges: [], otherwise: ALL, cr0: 0n, cr4: 0n }), 'the state was not taken');
      other.bringIntoForce();
      other.model.clear();
      require(other.request(ASKED), 'boot has ended by a state from before its end');
    });
  }
  return cases;
}

function say(guest: KitGuest): Vcpu {
  const [vcpu] = guest.vcpus;
  require(vcpu !== undefined &&
    guest.calls?.endOfBoot?.(vcpu) === true, 'the guest cannot say that boot has ended');
  return vcpu;
}

function ended(setup: ConformanceSetup): { readonly guest: KitGuest; readonly first: Vcpu } {
  const guest = createKitGuest(setup, 2);
  require(guest.request(ASKED), 'refused before the end of boot');
  return { guest, first: say(guest) };
}

function requireRefused(guest: KitGuest, vcpu: Vcpu, when: string): void {
  for (const [start, end] of [
    [0x200, 0x201],
    [0x1ff, 0x302],
    [SECOND_REGION.start, SECOND_REGION.start + 1],
  ] as const) {
    for (const rights of [ALL, rightsOf('ru')]) {
      require(guest.calls?.request(vcpu, [rangeOf(start, end, rights)]) ===
        false, `${when}: the guest was heard`);
      const refused = guest.answers().at(-1)?.refused;
      require(refused?.why === 'not-permitted', `${when}: refused: ${JSON.stringify(refused)}`);
    }
  }
  guest.check(FRAMES, when);
}
