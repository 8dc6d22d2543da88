import type { Gfn, Gpa, VirtualAddress } from '@heki/physical-memory';
import type { Vcpu } from '@heki/vcpu';
import { HypervisorError } from '../../error.ts';
import type { GuestMemoryRegion } from '../../host.ts';
import { formatRights, type Rights, withholdSome } from '../../rights.ts';
import type { ProtectionState } from '../../state.ts';
import type { OtherWriter } from '../../virtual-machine.ts';
import { ALL, createKitGuest, type KitGuest, rangeOf, rightsOf, SECOND_REGION } from '../kit-guest.ts';
import { DIRECT_MAP, USER_MAP } from '../kit-memory.ts';
import { type ConformanceCase, type ConformanceSetup, require } from '../setup.ts';

/** Guest frames that have no memory at first: the second name of other memory. */
const ELSEWHERE = 0x5_0000 as Gfn;
/** Protected frames, in the first region and in the second one. */
const TEXT = 0x300;
const MOVABLE = SECOND_REGION.start + 0x10;
const FRAMES = 4;
const RIGHTS = ['ru', 'rxu', 'rwu'].map(rightsOf);
const BYPASS_OF = { dma: 'dma', vmm: 'vmm', hypervisor: 'hypervisor-writes' } as const;

/** The same bytes under two guest frames, at one time or one after the other: no right that was taken away comes back by the other name. */
export function hostFrameCases(setup: ConformanceSetup): readonly ConformanceCase[] {
  const { lifeCycle, saveRestore, immutability } = setup.hypervisor.capabilities;
  const cases: ConformanceCase[] = [];
  const add = (name: string, run: () => void): void => {
    cases.push({ area: 'host frames', name, run });
  };
  for (const when of ['before', 'after'] as const) {
    for (const readOnly of [false, true]) {
      const what = readOnly ? 'a read-only region' : 'a region';
      add(
        `${what} over memory of the guest, made ${when} a request, has no right that the request took`,
        () => {
          for (const rights of RIGHTS) secondName(setup, rights, when, readOnly);
        },
      );
    }
  }
  add('what is withheld under one name is not given back by a request for another', () => {
    for (const rights of [rightsOf('ru'), rightsOf('rxu')]) {
      for (const order of [0, 1]) {
        const guest = createKitGuest(setup, 2);
        if (!takes(guest, { start: ELSEWHERE, frames: FRAMES, backing: guest.backing(TEXT) })) return;
        const asked = [
          rangeOf(TEXT, TEXT + FRAMES, rights),
          rangeOf(ELSEWHERE, ELSEWHERE + FRAMES, rightsOf('rwu')),
        ];
        if (!guest.protect(order === 0 ? asked : asked.reverse())) return;
        requireNotStored(guest, ELSEWHERE, TEXT, 'when both names were asked for');
        guest.check([TEXT - 1, TEXT, TEXT + FRAMES - 1, TEXT + FRAMES], 'when both names were asked for');
        guest.protect([rangeOf(TEXT, TEXT + FRAMES, rightsOf('rwu'))]);
        guest.check([TEXT, TEXT + FRAMES - 1], 'when nothing is withheld any more');
      }
    }
  });
  add('a region of which only the last frame is memory already is the same', () => {
    const guest = createKitGuest(setup);
    guest.protect([rangeOf(TEXT, TEXT + 1, rightsOf('ru'))]);
    const region = { start: ELSEWHERE, frames: 3, backing: guest.backing(TEXT - 2) };
    if (takes(guest, region)) requireBound(guest, ELSEWHERE + 2, TEXT, 'the last frame of a region');
    guest.check([TEXT - 1, TEXT, TEXT + 1], 'after it');
  });
  add('the guest stores through neither of two read-only regions over the same memory', () => {
    const guest = createKitGuest(setup);
    guest.vm.removeMemory(SECOND_REGION.start);
    const backing = guest.backing(SECOND_REGION.start);
    for (const gfn of [SECOND_REGION.start, ELSEWHERE]) {
      if (!takes(guest, { start: gfn, frames: 0x10, backing, readOnly: true })) continue;
      // The VMM fills a ROM.
      requireNotStored(guest, gfn, SECOND_REGION.start, 'a region that is read-only', ['dma', 'hypervisor']);
    }
  });
  add('memory that was protected and comes again elsewhere has no right that the request took', () => {
    for (const rights of RIGHTS) {
      const guest = movable(setup, rights);
      guest.vm.removeMemory(SECOND_REGION.start);
      moved(guest, 'protected memory that was moved');
    }
  });
  add('memory that the guest may not change is found unchanged when it comes back', () => {
    const guest = movable(setup, rightsOf('ru'));
    const page = guest.words(MOVABLE);
    page[4] = 0;
    guest.vm.removeMemory(SECOND_REGION.start);
    const region = { ...SECOND_REGION, backing: guest.backing(SECOND_REGION.start) };
    if (takes(guest, { ...region, start: ELSEWHERE })) {
      for (const vcpu of guest.vcpus) store(guest, vcpu, ELSEWHERE + (MOVABLE - SECOND_REGION.start), page);
      guest.vm.removeMemory(ELSEWHERE);
    }
    guest.vm.addMemory(region);
    guest.bringIntoForce();
    require(page[4] === 0, 'it was stored to under another guest frame');
    guest.check([MOVABLE - 1, MOVABLE, MOVABLE + FRAMES], 'when it came back');
  });
  if (immutability.kind === 'per-page') {
    add('immutable memory does not come again where it can be changed', () => {
      const guest = movable(setup, ALL, true);
      guest.vm.removeMemory(SECOND_REGION.start);
      if (!takes(guest, { ...SECOND_REGION, start: ELSEWHERE, backing: guest.backing(SECOND_REGION.start) }))
        return;
      const place = ELSEWHERE + (MOVABLE - SECOND_REGION.start);
      const asked = guest.calls?.request(vcpuOf(guest), [rangeOf(place, place + 1, rightsOf('ru'))]);
      require(asked !== true, 'the guest changed the rights of an immutable page by another guest frame');
    });
  }
  add('memory of which nothing was withheld is no poorer where it comes again elsewhere', () => {
    const guest = createKitGuest(setup);
    guest.protect([rangeOf(TEXT, TEXT + FRAMES, rightsOf('ru'))]);
    guest.vm.removeMemory(SECOND_REGION.start);
    const backing = guest.backing(SECOND_REGION.start);
    const taken = takes(guest, { ...SECOND_REGION, start: ELSEWHERE, backing });
    // Where memory without a request cannot be written, this cannot be either.
    if (taken && setup.hypervisor.capabilities.unrequested.write) requireStored(guest, 'it');
    guest.check([TEXT - 1, TEXT, TEXT + FRAMES], 'after it');
  });
  if (saveRestore) {
    add('a saved state knows of protected memory that was taken away', () => {
      const guest = movable(setup, rightsOf('ru'));
      guest.vm.removeMemory(SECOND_REGION.start);
      const state = guest.vm.save();
      require(state !== undefined, 'nothing was saved');
      const twin = createKitGuest(setup);
      twin.vm.removeMemory(SECOND_REGION.start);
      require(twin.vm.restore(state), 'a state that was saved was not taken');
      twin.bringIntoForce();
      twin.model.set(MOVABLE, MOVABLE + FRAMES, rightsOf('ru'));
      moved(twin, 'memory that was protected before the state was saved');
    });
    add('a state that tells nonsense of memory that was taken away is refused', () => {
      const guest = createKitGuest(setup);
      const state = guest.vm.save();
      require(state !== undefined, 'nothing was saved');
      const frame = guest.backing(TEXT);
      const good = {
        start: frame,
        end: frame + 1,
        gfn: ELSEWHERE,
        rights: state.otherwise,
        immutable: false,
      };
      for (const departed of [
        [{ ...good, end: frame }],
        [{ ...good, gfn: -1 }],
        [{ ...good, rights: 'r' }],
        [{ ...good, immutable: 1 }],
        'none',
      ]) {
        requireRefused(guest, {
          ...state,
          departed: departed as unknown as ProtectionState['departed'] & {},
        });
      }
    });
  }
  for (const kind of ['reset', 'kexec'] as const) {
    if (lifeCycle[kind] !== 'clear') continue;
    add(`after ${kind} nothing is withheld from memory that was protected and taken away before`, () => {
      const guest = movable(setup, rightsOf('ru'));
      guest.vm.removeMemory(SECOND_REGION.start);
      guest.vm.lifeCycle({ kind });
      guest.bringIntoForce();
      for (const vcpu of guest.vcpus) guest.restart(vcpu);
      const backing = guest.backing(SECOND_REGION.start);
      const taken = takes(guest, { ...SECOND_REGION, start: ELSEWHERE, backing });
      // Where memory without a request cannot be written, this cannot be either.
      if (taken && setup.hypervisor.capabilities.unrequested.write) requireStored(guest, 'it');
    });
  }
  return cases;
}

/** A guest whose second region, which can be taken away, has protected frames. */
function movable(setup: ConformanceSetup, rights: Rights, immutable = false): KitGuest {
  const guest = createKitGuest(setup);
  guest.protect([rangeOf(MOVABLE, MOVABLE + FRAMES, rights, immutable)]);
  return guest;
}

/** The second region comes again elsewhere, or does not. */
function moved(guest: KitGuest, what: string): void {
  const backing = guest.backing(SECOND_REGION.start);
  if (!takes(guest, { ...SECOND_REGION, start: ELSEWHERE, backing })) return;
  guest.bringIntoForce();
  const offset = MOVABLE - SECOND_REGION.start;
  for (const frame of [0, FRAMES - 1]) {
    requireBound(guest, ELSEWHERE + offset + frame, MOVABLE + frame, what);
  }
}

function secondName(
  setup: ConformanceSetup,
  rights: Rights,
  when: 'before' | 'after',
  readOnly: boolean,
): void {
  const guest = createKitGuest(setup, 2);
  const region = { start: ELSEWHERE, frames: FRAMES, backing: guest.backing(TEXT), readOnly };
  const early = when === 'before' && takes(guest, region);
  guest.protect([rangeOf(TEXT, TEXT + FRAMES, rights)]);
  const taken = early || (when === 'after' && takes(guest, region));
  if (taken) {
    guest.bringIntoForce();
    for (const frame of [0, FRAMES - 1]) {
      requireBound(guest, ELSEWHERE + frame, TEXT + frame, `a region made ${when} the request`);
    }
  } else {
    require(guest.vm.effectiveRights(ELSEWHERE) === undefined, 'memory that was refused is there');
  }
  guest.check([TEXT - 1, TEXT, TEXT + FRAMES - 1, TEXT + FRAMES], 'with two names');
}

/** Whether the machine takes the memory; it may refuse in its own words, and must then not have it. */
function takes(guest: KitGuest, region: GuestMemoryRegion): boolean {
  try {
    guest.vm.addMemory(region);
    return true;
  } catch (error) {
    require(error instanceof HypervisorError, `memory was refused with ${String(error)}`);
    return false;
  }
}

/** Accesses by the guest frame `name` can do no more with the bytes of `gfn` than its rights say. */
function requireBound(guest: KitGuest, name: number, gfn: number, what: string): void {
  const wanted = guest.model.of(gfn);
  const page = guest.words(gfn);
  for (const vcpu of guest.vcpus) {
    page[0] = 0x5a01_01a5;
    const fetches = (map: bigint, cpl: 0 | 3): boolean => {
      vcpu.registers.cpl = cpl;
      const outcome = vcpu.fetch((map + BigInt(name * 4096)) as VirtualAddress, 1);
      if (vcpu.halted !== undefined) guest.restart(vcpu);
      vcpu.registers.cpl = 0;
      return outcome.kind === 'done' && outcome.value[0] === 0xa5;
    };
    const got: Rights = {
      read: wanted.read,
      write: store(guest, vcpu, name, page),
      supervisorExecute: fetches(DIRECT_MAP, 0),
      userExecute: fetches(USER_MAP, 3),
    };
    require(!withholdSome(
      wanted,
      got,
    ), `${what}: by another guest frame its bytes can be used as ${formatRights(got)}, expected ${formatRights(wanted)} at most`);
  }
  if (!wanted.write) requireNotStored(guest, name, gfn, what);
}

function requireNotStored(
  guest: KitGuest,
  name: number,
  gfn: number,
  what: string,
  writers: readonly OtherWriter[] = ['dma', 'vmm', 'hypervisor'],
): void {
  const { bypasses } = guest.capabilities;
  const page = guest.words(gfn);
  for (const vcpu of guest.vcpus) {
    require(!store(guest, vcpu, name, page), `${what}: a store by another guest frame was made`);
  }
  for (const writer of writers) {
    if (bypasses.includes(BYPASS_OF[writer])) continue;
    page[4] = 0;
    guest.vm.write(writer, (name * 4096 + 16) as Gpa, Uint8Array.of(1));
    require(page[4] === 0, `${what}: a store by ${writer} was made by another guest frame`);
  }
}

/** The guest can store to the second region where it has come again. */
function requireStored(guest: KitGuest, what: string): void {
  guest.bringIntoForce();
  const page = guest.words(MOVABLE);
  for (const vcpu of guest.vcpus) {
    const done = store(guest, vcpu, ELSEWHERE + (MOVABLE - SECOND_REGION.start), page);
    require(done, `${what} cannot be stored to, and that was not asked for`);
  }
}

/** Whether a store by a guest frame changes the bytes of `page`. */
function store(guest: KitGuest, vcpu: Vcpu, gfn: number, page: Uint32Array): boolean {
  page[4] = 0;
  vcpu.store((DIRECT_MAP + BigInt(gfn * 4096 + 16)) as VirtualAddress, 4, 1n);
  if (vcpu.halted !== undefined) guest.restart(vcpu);
  return page[4] !== 0;
}

function vcpuOf({ vcpus }: KitGuest): Vcpu {
  const [vcpu] = vcpus;
  require(vcpu !== undefined, 'a guest has a virtual CPU');
  return vcpu;
}

function requireRefused({ vm }: KitGuest, state: ProtectionState): void {
  try {
    vm.restore(state);
  } catch (error) {
    require(error instanceof HypervisorError, `a damaged state ends in ${String(error)}`);
    return;
  }
  require(false, 'a damaged state was taken');
}
