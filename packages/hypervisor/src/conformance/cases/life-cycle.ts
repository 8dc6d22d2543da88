import { sameRights } from '../../rights.ts';
import { createKitGuest, type KitGuest, rangeOf, rightsOf } from '../kit-guest.ts';
import { type ConformanceCase, type ConformanceSetup, require } from '../setup.ts';
import { holds, pinBit } from './pins.ts';

const FRAMES = [0x1ff, 0x200, 0x201, 0x300, 0x301, 0x480, 0x1000];

/** A pin that the backend declares and the kit's guest has set: CR4.SMEP, or none. */
function smep(setup: ConformanceSetup): bigint {
  return setup.hypervisor.capabilities.pins.cr4 & (1n << 20n);
}

function protectedGuest(setup: ConformanceSetup): KitGuest {
  const guest = createKitGuest(setup);
  guest.protect([
    rangeOf(0x200, 0x201, rightsOf('ru')),
    rangeOf(0x300, 0x301, rightsOf('rxu'), setup.hypervisor.capabilities.immutability.kind === 'per-page'),
    rangeOf(0x480, 0x500, rightsOf('rwu')),
  ]);
  if (smep(setup) !== 0n) pinBit(guest, 4, smep(setup));
  return guest;
}

/** Reset and kexec do what is declared; what is saved can be put into another machine. */
export function lifeCycleCases(setup: ConformanceSetup): readonly ConformanceCase[] {
  const { capabilities } = setup.hypervisor;
  const cases: ConformanceCase[] = [];
  for (const kind of ['reset', 'kexec'] as const) {
    const policy = capabilities.lifeCycle[kind];
    cases.push({
      area: 'life-cycle',
      name: `${kind} is declared to ${policy} rights and pins`,
      run() {
        const guest = protectedGuest(setup);
        guest.vm.lifeCycle({ kind });
        for (const vcpu of guest.vcpus) guest.restart(vcpu);
        if (policy === 'clear') guest.model.clear();
        guest.check(FRAMES, `after ${kind}`);
        if (smep(setup) === 0n) return;
        if (kind === 'reset' && policy === 'keep') return;
        require(holds(guest, 0, 4, smep(setup)) === (policy === 'keep'), `the pins did not ${policy}`);
      },
    });
  }
  cases.push({
    area: 'life-cycle',
    name: capabilities.saveRestore
      ? 'what is saved holds in the machine that it is restored into, and can be saved again'
      : 'saving and restoring are refused, as declared',
    run() {
      const guest = protectedGuest(setup);
      const state = guest.vm.save();
      if (!capabilities.saveRestore) {
        require(state === undefined, 'a state was saved although that is not declared');
        return;
      }
      require(state !== undefined, 'nothing was saved although that is declared');
      for (const [index, range] of state.ranges.entries()) {
        require(range.start < range.end, `saved range ${index} is empty`);
        const next = state.ranges[index + 1];
        require(next === undefined || range.end <= next.start, `saved range ${index} overlaps the next one`);
      }
      const other = createKitGuest(setup);
      other.protect([rangeOf(0x1000, 0x1001, rightsOf('ru'))]);
      require(other.vm.restore(state), 'the state was not taken');
      other.model.clear();
      for (const { start, end, rights } of state.ranges) other.model.set(start, end, rights);
      require(sameRights(
        other.model.of(0x1000),
        guest.model.of(0x1000),
      ), 'the state forgets what is not in it');
      for (const frame of FRAMES) {
        require(sameRights(
          other.model.of(frame),
          guest.model.of(frame),
        ), `the saved state has other rights for frame 0x${frame.toString(16)}`);
      }
      other.check(FRAMES, 'after restore');
      if (smep(setup) !== 0n) require(holds(other, 0, 4, smep(setup)), 'a restored pin does not hold');
      if (
        capabilities.immutability.kind === 'per-page' &&
        capabilities.immutability.undoneBy !== 'policy-owner'
      ) {
        const { refused } = other.vm.protect([rangeOf(0x300, 0x301, rightsOf('rwxu'))]);
        require(refused?.why === 'immutable', 'an immutable page can be changed after restore');
      }
      const again = other.vm.save();
      require(JSON.stringify(again, big) ===
        JSON.stringify(state, big), 'saved again, the state is another one');
    },
  });
  return cases;
}

function big(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString(16) : value;
}
