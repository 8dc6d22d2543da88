import { CR0, CR4 } from '@heki/x86';
import { HypervisorError } from '../../error.ts';
import { formatRights, sameRights } from '../../rights.ts';
import type { ProtectionState } from '../../state.ts';
import { type ControlBit, give, holds, nameOf, optionalBit, pinBit } from '../control-bit.ts';
import { ALL, createKitGuest, type KitGuest, rangeOf, rightsOf } from '../kit-guest.ts';
import { REGISTERS } from '../kit-memory.ts';
import { type ConformanceCase, type ConformanceSetup, require } from '../setup.ts';
import { textOf } from '../text-of.ts';
import { twinOf } from '../twin.ts';
import { type WatchedRegister, watched } from '../watched-register.ts';
import { changes } from './registers.ts';
import { savedLife } from './saved-lives.ts';

const FRAMES = [0x1ff, 0x200, 0x201, 0x300, 0x301, 0x480, 0x1000];
const READ_ONLY = rightsOf('ru');

/** A guest with rights and every kind of pin that the backend declares. */
interface ProtectedGuest {
  readonly guest: KitGuest;
  readonly bit: ControlBit | undefined;
  readonly registers: readonly WatchedRegister[];
}

function protectedGuest(setup: ConformanceSetup): ProtectedGuest {
  const { immutability, pins } = setup.hypervisor.capabilities;
  const guest = createKitGuest(setup);
  const bit = optionalBit(setup);
  const registers = pins.registers.map(watched);
  prepare(guest, bit, registers);
  guest.protect([
    rangeOf(0x200, 0x201, READ_ONLY),
    rangeOf(0x300, 0x301, rightsOf('rxu'), immutability.kind === 'per-page'),
    rangeOf(0x480, 0x500, rightsOf('rwu')),
  ]);
  if (bit !== undefined) pinBit(guest, bit);
  guest.vm.pin({ registers: pins.registers });
  return { guest, bit, registers };
}

function prepare(guest: KitGuest, bit: ControlBit | undefined, registers: readonly WatchedRegister[]): void {
  for (const vcpu of guest.vcpus) {
    if (bit !== undefined) vcpu.registers[nameOf(bit)] |= bit.bit;
    for (const each of registers) each.prepare(vcpu);
  }
}

/** Reset, kexec and INIT do what is declared; what is saved can be put into another machine. */
export function lifeCycleCases(setup: ConformanceSetup): readonly ConformanceCase[] {
  const { lifeCycle, saveRestore } = setup.hypervisor.capabilities;
  const cases: ConformanceCase[] = [];
  const add = (name: string, run: () => void): void => {
    cases.push({ area: 'life-cycle', name, run });
  };
  for (const kind of ['reset', 'kexec'] as const) {
    const policy = lifeCycle[kind];
    add(`${kind} is declared to ${policy} rights and pins`, () => afterEvent(setup, kind, policy));
  }
  add('INIT of one processor leaves rights as they are, on all of them', () => {
    const guest = createKitGuest(setup, 2);
    guest.protect([rangeOf(0x200, 0x201, READ_ONLY), rangeOf(0x480, 0x500, rightsOf('rwu'))]);
    guest.check(FRAMES, 'before INIT');
    guest.vm.lifeCycle({ kind: 'init', vcpu: 1 });
    for (const vcpu of guest.vcpus) guest.restart(vcpu);
    guest.check(FRAMES, 'after INIT');
  });
  if (saveRestore) {
    add('what is saved holds in the machine that it is restored into, and can be saved again', () =>
      restored(setup),
    );
    add('a processor that took INIT may start where the state is restored, and the others are bound', () =>
      startsAfterRestore(setup),
    );
    add('a state that is damaged is refused, and nothing has changed', () => damaged(setup));
    add('a life that is saved goes on where it is restored as it does where it was', () => {
      savedLife(setup, 1);
    });
  } else {
    add('saving and restoring are refused, as declared', () => {
      const { guest } = protectedGuest(setup);
      require(guest.vm.save() === undefined, 'a state was saved although that is not declared');
      const nothing = { ranges: [], otherwise: ALL, cr0: 0n, cr4: 0n };
      require(!guest.vm.restore(nothing), 'a state was restored although that is not declared');
      guest.check(FRAMES, 'after it');
    });
  }
  return cases;
}

function afterEvent(setup: ConformanceSetup, kind: 'reset' | 'kexec', policy: 'clear' | 'keep'): void {
  const { guest, bit, registers } = protectedGuest(setup);
  guest.vm.lifeCycle({ kind });
  guest.bringIntoForce();
  for (const vcpu of guest.vcpus) guest.restart(vcpu);
  if (policy === 'clear') guest.model.clear();
  guest.check(FRAMES, `after ${kind}`);
  const { immutability } = setup.hypervisor.capabilities;
  const [vcpu] = guest.vcpus;
  require(vcpu !== undefined, 'a guest without a virtual CPU');
  if (immutability.kind === 'per-page' && guest.calls !== undefined) {
    const attempt = [rangeOf(0x300, 0x301, rightsOf('rwu'))];
    const taken = guest.calls.request(vcpu, attempt);
    require(taken === (policy === 'clear'), `${kind} did not ${policy} that a page is immutable`);
  }
  // After a reset that keeps pins, every processor has taken INIT, and may start.
  if (kind === 'reset' && policy === 'keep') return;
  prepare(guest, bit, registers);
  const free = policy === 'clear';
  require(bit === undefined || holds(guest, vcpu, bit) === !free, `the pins did not ${policy}`);
  for (const each of registers) {
    // A verdict may have stopped the processor, and it started over.
    prepare(guest, bit, registers);
    require(changes(guest, vcpu, each) === free, `the pin of ${each.name} did not ${policy}`);
  }
}

function restored(setup: ConformanceSetup): void {
  const { guest, bit, registers } = protectedGuest(setup);
  const state = guest.vm.save();
  require(state !== undefined, 'nothing was saved although that is declared');
  requireSorted(state);
  const other = createKitGuest(setup);
  prepare(other, bit, registers);
  other.protect([rangeOf(0x1000, 0x1001, READ_ONLY)]);
  require(other.vm.restore(state), 'the state was not taken');
  other.bringIntoForce();
  // Before anything is tried: what is denied later may be part of a state.
  require(textOf(other.vm.save()) === textOf(state), 'saved again, the state is another one');
  other.model.clear();
  for (const { start, end, rights } of state.ranges) other.model.set(start, end, rights);
  for (const frame of FRAMES) {
    const [saved, had] = [other.model.of(frame), guest.model.of(frame)];
    require(sameRights(
      saved,
      had,
    ), `the saved state has ${formatRights(saved)} for frame 0x${frame.toString(16)}, expected ${formatRights(had)}`);
  }
  const [vcpu] = other.vcpus;
  require(vcpu !== undefined, 'a guest without a virtual CPU');
  for (const each of registers) {
    prepare(other, bit, registers);
    require(!changes(other, vcpu, each), `a restored pin of ${each.name} does not hold`);
  }
  require(bit === undefined || holds(other, vcpu, bit), 'a restored pin does not hold');
  other.check(FRAMES, 'after restore');
  requireImmutable(setup, other);
}

function requireSorted({ ranges }: ProtectionState): void {
  for (const [index, range] of ranges.entries()) {
    require(range.start < range.end, `saved range ${index} is empty`);
    const next = ranges[index + 1];
    require(next === undefined || range.end <= next.start, `saved range ${index} overlaps the next one`);
  }
}

/** The page that was immutable where the state was saved. */
function requireImmutable(setup: ConformanceSetup, guest: KitGuest): void {
  const { immutability } = setup.hypervisor.capabilities;
  if (immutability.kind !== 'per-page') return;
  const attempt = [rangeOf(0x300, 0x301, rightsOf('rwxu'))];
  if (immutability.undoneBy !== 'policy-owner') {
    const { refused } = guest.vm.protect(attempt);
    require(refused?.why === 'immutable', 'an immutable page can be changed after restore');
  }
  const [vcpu] = guest.vcpus;
  if (guest.calls === undefined || vcpu === undefined) return;
  require(!guest.calls.request(vcpu, attempt), 'the guest can change an immutable page after restore');
}

/** INIT first, then the state is saved: the same as without the other machine in between. */
function startsAfterRestore(setup: ConformanceSetup): void {
  const bit = optionalBit(setup);
  const guest = createKitGuest(setup, 2);
  prepare(guest, bit, []);
  if (bit !== undefined) pinBit(guest, bit);
  guest.vm.lifeCycle({ kind: 'init', vcpu: 1 });
  const twin = twinOf(setup, guest);
  require(twin !== undefined, 'nothing was saved although that is declared');
  const [first, second] = twin.vcpus;
  require(first !== undefined && second !== undefined, 'a guest without a virtual CPU');
  const { cr0, cr4 } = REGISTERS;
  const [pin0, pin4] = bit === undefined ? [0n, 0n] : bit.register === 0 ? [bit.bit, 0n] : [0n, bit.bit];
  for (const [what, outcome] of [
    ['CR4 with paging extensions alone', second.movToCr(4, CR4.PAE)],
    ['CR0 with protection alone', second.movToCr(0, (second.registers.cr0 | CR0.PE) & ~CR0.WP)],
    ['CR4', second.movToCr(4, cr4 | pin4)],
    ['CR0 without paging', second.movToCr(0, (cr0 | pin0) & ~CR0.PG)],
  ] as const) {
    require(outcome.kind === 'done', `a processor that starts after restore cannot write ${what}`);
  }
  require(bit === undefined ||
    holds(twin, first, bit), 'a processor that took no INIT is not bound after restore');
  if (bit === undefined) return;
  give(twin, second, bit);
  require(holds(twin, second, bit), 'a processor that has started is not bound');
}

/** Parts of a saved state with something wrong in each. */
function damages(state: ProtectionState): readonly (readonly [what: string, damage: object])[] {
  const [range] = state.ranges;
  require(range !== undefined, 'a state without a range');
  const { start, end, rights } = range;
  const { write: _, ...partial } = rights;
  return [
    ['no ranges', { ranges: undefined }],
    ['an empty range', { ranges: [{ ...range, end: start }] }],
    ['a range that ends before it starts', { ranges: [{ ...range, start: end, end: start }] }],
    ['half a frame', { ranges: [{ ...range, start: start + 0.5 }] }],
    ['a negative frame', { ranges: [{ ...range, start: -1 }] }],
    ['a frame beyond all memory', { ranges: [{ ...range, end: 2 ** 40 + 1 }] }],
    ['ranges that overlap', { ranges: [...state.ranges, range] }],
    ['rights with one missing', { ranges: [{ ...range, rights: partial }] }],
    ['no rights', { ranges: [{ start, end }] }],
    ['no default', { otherwise: undefined }],
    ['a negative CR0', { cr0: -1n }],
    ['a CR4 that is a number', { cr4: 16 }],
    ['a CR4 beyond 64 bits', { cr4: 1n << 64n }],
    ['an unknown register', { registers: ['dr7'] }],
    ['a virtual CPU with an unknown register', { vcpus: [{ vcpu: 0, starting: ['dr7'] }] }],
    ['a virtual CPU with a bad value', { vcpus: [{ vcpu: 0, values: { cr4: 1 } }] }],
    ['a virtual CPU twice', { vcpus: [{ vcpu: 0 }, { vcpu: 0 }] }],
    ["another backend's own state", { own: { backend: 'no backend' } }],
  ];
}

/** A value with null in the place of each of its parts in turn, and where that is: no part of a state is ever null. */
function withNulls(value: unknown, place: string): (readonly [place: string, damaged: unknown])[] {
  if (typeof value !== 'object' || value === null) return [];
  if (!Array.isArray(value) && Object.getPrototypeOf(value) !== Object.prototype) return [];
  return Object.entries(value).flatMap(([key, part]) => {
    const at = `${place}${place === '' ? '' : '.'}${key}`;
    const put = (damaged: unknown): unknown =>
      Array.isArray(value) ? value.with(Number(key), damaged) : { ...value, [key]: damaged };
    return [
      [at, put(null)] as const,
      ...withNulls(part, at).map(([inside, damaged]) => [inside, put(damaged)] as const),
    ];
  });
}

function damaged(setup: ConformanceSetup): void {
  const { guest } = protectedGuest(setup);
  const state = guest.vm.save();
  require(state !== undefined, 'nothing was saved although that is declared');
  const before = textOf(state);
  const nulls = withNulls(state, '').map(([place, bad]) => [`null as ${place}`, bad as object] as const);
  for (const [what, damage] of [...damages(state), ...nulls]) {
    let taken = true;
    try {
      guest.vm.restore({ ...state, ...damage } as ProtectionState);
    } catch (error) {
      taken = false;
      require(error instanceof
        HypervisorError, `a state with ${what} ends in another error than a HypervisorError: ${error}`);
    }
    require(!taken, `a state with ${what} is taken`);
    require(textOf(guest.vm.save()) === before, `a state with ${what} is refused, and has changed something`);
  }
  guest.check(FRAMES, 'after states that were refused');
}
