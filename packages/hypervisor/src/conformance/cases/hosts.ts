import type { Gpa } from '@heki/physical-memory';
import { formatRights, type Rights } from '../../rights.ts';
import type { OtherWriter } from '../../virtual-machine.ts';
import { ALL, createKitGuest, type KitGuest, rangeOf, rightsOf, SECOND_REGION } from '../kit-guest.ts';
import { type ConformanceCase, type ConformanceSetup, require } from '../setup.ts';
import { waysOfAsking } from './rights.ts';

/** Lines that 3,380 requests may write into the host's log. */
const MOST_LOG_LINES = 338;
const READ_ONLY = rightsOf('ru');

/** What a guest can send, bad requests of the owner, and writers that are no virtual CPU. */
export function hostCases(setup: ConformanceSetup): readonly ConformanceCase[] {
  const cases: ConformanceCase[] = [];
  const hostile = (name: string, run: () => void): void => {
    cases.push({ area: 'hostile guests', name, run });
  };
  const calls = setup.guestCalls === undefined ? undefined : createKitGuest(setup).calls;
  for (const [index, { name }] of (calls?.malformed ?? []).entries()) {
    hostile(`${name}: refused, without effect and without harm`, () => {
      const guest = createKitGuest(setup);
      guest.protect([rangeOf(0x300, 0x301, READ_ONLY)]);
      const frames = [0, 0x200, 0x201, 0x300, 0x400, SECOND_REGION.start];
      const before = frames.map((gfn) => rightsText(guest, gfn));
      const taken = guest.calls?.malformed[index]?.run();
      guest.checkHost();
      require(taken === false, 'the backend took it');
      for (const [i, gfn] of frames.entries()) {
        require(rightsText(guest, gfn) === before[i], `it changed frame 0x${gfn.toString(16)}`);
      }
      guest.check([0x200, 0x300], 'after it');
    });
  }
  if (calls !== undefined) {
    hostile('3,380 requests do not flood the log of the host', () => {
      const guest = createKitGuest(setup);
      for (let call = 0; call < 20; call++) {
        guest.request(
          Array.from({ length: 169 }, (_, i) =>
            rangeOf(0x200 + i, 0x201 + i, call % 2 === 0 ? READ_ONLY : ALL),
          ),
        );
      }
      const lines = guest.events.filter(({ type }) => type === 'log').length;
      require(lines <= MOST_LOG_LINES, `${lines} lines, expected at most ${MOST_LOG_LINES}`);
    });
  }
  for (const [name, start, end, why] of [
    ['an empty range', 0x210, 0x210, 'empty'],
    ['a range that ends before it starts', 0x210, 0x20f, 'empty'],
    ['a range outside memory', 0x20_0000, 0x20_0001, 'not-memory'],
    ['a range that reaches past memory', 0x4_03ff, 0x8_0000, 'not-memory'],
  ] as const) {
    cases.push({
      area: 'requests',
      name: `${name} is refused as ${why}, after a good one`,
      run() {
        const guest = createKitGuest(setup);
        const { refused, applied } = guest.vm.protect([
          rangeOf(0x200, 0x201, READ_ONLY),
          rangeOf(start, end, READ_ONLY),
        ]);
        require(refused?.at === 1 && refused.why === why, `refused: ${JSON.stringify(refused)}`);
        const keeps = setup.hypervisor.capabilities.failure === 'stops-at-first';
        require(applied === (keeps ? 1 : 0), `${applied} ranges applied`);
        if (keeps) guest.model.set(0x200, 0x201, READ_ONLY);
        guest.check([0x200, 0x201], 'after the refusal');
      },
    });
  }
  for (const { who, ask } of waysOfAsking(setup)) {
    cases.push({
      area: 'requests',
      name: `an immutable page keeps its rights, whatever ${who} asks`,
      run: () => immutable(setup, ask, who === 'the guest'),
    });
  }
  for (const [writer, bypass] of [
    ['dma', 'dma'],
    ['vmm', 'vmm'],
    ['hypervisor', 'hypervisor-writes'],
  ] as const) {
    cases.push({
      area: 'other writers',
      name: `a store by ${writer} to a read-only page is refused, or declared as a bypass`,
      run() {
        const guest = createKitGuest(setup);
        guest.protect([rangeOf(0x300, 0x301, READ_ONLY)]);
        const declared = setup.hypervisor.capabilities.bypasses.includes(bypass);
        otherWrite(guest, writer, declared);
      },
    });
  }
  return cases;
}

function rightsText(guest: KitGuest, gfn: number): string {
  const rights: Rights | undefined = guest.vm.effectiveRights(
    gfn as Parameters<typeof guest.vm.effectiveRights>[0],
  );
  return rights === undefined ? 'no memory' : formatRights(rights);
}

function otherWrite(guest: KitGuest, writer: OtherWriter, declared: boolean): void {
  const store = (gfn: number) => guest.vm.write(writer, (gfn * 4096 + 16) as Gpa, Uint8Array.of(1, 2, 3));
  const result = store(0x300);
  if (!declared) require(!result.ok && result.why === 'denied', 'a bypass that is not declared');
  require(store(0x2ff).ok, 'a store to a writable page was refused');
  const outside = store(0x20_0000);
  require(!outside.ok && outside.why === 'not-memory', 'a store outside memory was taken');
}

function immutable(
  setup: ConformanceSetup,
  ask: (guest: KitGuest) => KitGuest['protect'],
  byGuest: boolean,
): void {
  const { immutability } = setup.hypervisor.capabilities;
  const guest = createKitGuest(setup);
  const locked = rangeOf(0x210, 0x220, READ_ONLY, true);
  if (immutability.kind !== 'per-page') {
    if (byGuest) return;
    const { refused, weakened } = guest.vm.protect([locked]);
    require(refused?.why === 'unsupported' || weakened.length > 0, 'immutable is promised and not kept');
    return;
  }
  ask(guest)([locked]);
  for (const [start, end] of [
    [0x210, 0x220],
    [0x214, 0x215],
    [0x200, 0x211],
    [0x21f, 0x300],
  ] as const) {
    if (!byGuest && immutability.undoneBy === 'policy-owner') break;
    if (byGuest) {
      const [vcpu] = guest.vcpus;
      const taken = vcpu === undefined || guest.calls?.request(vcpu, [rangeOf(start, end, ALL)]);
      require(taken === false, 'the guest changed an immutable page');
    } else {
      const { refused } = guest.vm.protect([rangeOf(start, end, ALL)]);
      require(refused?.why === 'immutable', `refused: ${JSON.stringify(refused)}, expected immutable`);
    }
    guest.check([0x20f, 0x210, 0x215, 0x21f, 0x220], 'after an attempt');
  }
}
