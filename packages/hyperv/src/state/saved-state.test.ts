import {
  encodeHvControl,
  encodeHvSetRegisters,
  HV_PARTITION_SELF,
  HV_VP_SELF,
  HvCall,
  HvRegister,
  LvbsFunction,
  LvbsSection,
} from '@heki/hypercall/hyperv';
import type { ProtectionState, Rights } from '@heki/hypervisor';
import type { Gfn } from '@heki/physical-memory';
import { expect, test } from 'vitest';
import { createTestGuest, type TestGuest } from '../testing/guest.ts';
import type { HypervOwnState } from './own-state.ts';

const READ_ONLY: Rights = { read: true, write: false, supervisorExecute: false, userExecute: true };
const range = (start: number, end: number) => ({ start: start as Gfn, end: end as Gfn, rights: READ_ONLY });
const saved = (guest: TestGuest): ProtectionState => {
  const state = guest.vm.save();
  if (state === undefined) throw new Error('nothing was saved');
  return state;
};
const TEXT = 0x50_0000;
const PARTS = [
  [TEXT, TEXT + 0x1000, LvbsSection.TEXT],
  [TEXT + 0x1000, TEXT + 0x2000, LvbsSection.INIT_TEXT],
] as const;

/** A partition with a module loaded, that may be patched. */
function loaded(): TestGuest {
  const guest = createTestGuest();
  const bytes = new Uint8Array(64).fill(0x90);
  guest.vm.secureKernel.trustModule({
    name: 'good',
    sections: [
      { kind: LvbsSection.TEXT, bytes, sites: [] },
      { kind: LvbsSection.INIT_TEXT, bytes, sites: [] },
    ],
  });
  guest.put(TEXT, bytes);
  guest.put(TEXT + 0x1000, bytes);
  expect(guest.callWith(LvbsFunction.VALIDATE_MODULE, ...PARTS)).toBe(1);
  return guest;
}

test('a module from before can be unloaded where the state is restored, and no other token is given twice', () => {
  const guest = loaded();
  const other = createTestGuest();
  expect(other.vm.restore(saved(guest))).toBe(true);
  expect(other.call(LvbsFunction.UNLOAD_MODULE, 2n)).toBeLessThan(0);
  expect(other.store(TEXT)).toBe(false);
  expect(other.call(LvbsFunction.FREE_MODULE_INIT, 1n)).toBe(0);
  expect(other.call(LvbsFunction.UNLOAD_MODULE, 1n)).toBe(0);
  expect(other.store(TEXT)).toBe(true);
  const bytes = new Uint8Array(64).fill(0x90);
  other.put(TEXT, bytes);
  other.put(TEXT + 0x1000, bytes);
  expect(other.callWith(LvbsFunction.VALIDATE_MODULE, ...PARTS)).toBe(2);
});

test('masks of memory that is not there are restored for when it comes', () => {
  const guest = createTestGuest();
  guest.vm.protect([range(0x200, 0x210)]);
  guest.vm.removeMemory(0 as Gfn);
  const state = saved(guest);
  const other = createTestGuest();
  other.vm.removeMemory(0 as Gfn);
  expect(other.vm.restore(state)).toBe(true);
  other.vm.addMemory({ start: 0 as Gfn, frames: 0x1000, backing: 0x1000 as never });
  expect(other.vm.effectiveRights(0x200 as Gfn)).toMatchObject({ write: false });
  expect(other.store(0x20_0000)).toBe(false);
});

test('where no host frame is left for the tables of a state, nothing has changed', () => {
  const guest = createTestGuest();
  guest.vm.protect([range(0x200, 0x201), range(0x400, 0x401), range(0x600, 0x601)]);
  const state = saved(guest);
  const other = createTestGuest();
  other.vm.protect([range(0x800, 0x801)]);
  const before = other.vm.save();
  while (other.frames.allocate() !== undefined);
  expect(() => other.vm.restore(state)).toThrow('no host frame is left');
  expect(other.vm.save()).toEqual(before);
  expect(other.store(0x80_0000)).toBe(false);
  expect(other.store(0x20_0000)).toBe(true);
});

test('a default that says more than the partition still distinguishes is in no state: nothing is saved', () => {
  const { vm, vcpu } = createTestGuest();
  const set = (name: number, value: bigint) =>
    vm.vtl1Hypercall(
      vcpu,
      encodeHvControl({ code: HvCall.SET_VP_REGISTERS, repCount: 1 }),
      encodeHvSetRegisters({
        partition: HV_PARTITION_SELF,
        vp: HV_VP_SELF,
        vtl: 1,
        values: [{ name, value }],
      }),
    );
  // Read and user execution.
  set(HvRegister.VSM_PARTITION_CONFIG, 1n | (0b1001n << 1n));
  expect(vm.save()).toMatchObject({ otherwise: READ_ONLY });
  set(HvRegister.VSM_SECURE_CONFIG_VTL0, 0n);
  expect(vm.save()).toBeUndefined();
});

test.each<[string, object, string]>([
  ['configuration bits that do not exist', { config: 1n << 60n }, 'own.config: 0x1000000000000000'],
  [
    'a mask of the account that does not exist',
    { policy: { given: [{ start: 1, end: 2, flags: 16 }], claims: [] } },
    'own.policy.given[0].flags: 16',
  ],
  ['no account', { policy: undefined }, 'own.policy.given'],
  [
    'a patch of six bytes',
    { patches: [{ pa: 0, secondPa: 0, bytes: new Uint8Array(6) }] },
    'own.patches[0].bytes',
  ],
  [
    'more patches than VTL1 keeps',
    {
      patches: Array.from({ length: 2 ** 17 + 1 }, (_, pa) => ({ pa, secondPa: 0, bytes: Uint8Array.of(1) })),
    },
    'own.patches.length: 131073',
  ],
  ['a token that is a number', { modules: { tokens: 1 } }, 'own.modules.tokens: 1'],
  ['intercepts without a mask', { intercepts: [{ control: 0n }] }, 'own.intercepts[0].cr0Mask'],
])("%s in Hyper-V's own state is refused", (_what, part, message) => {
  const guest = loaded();
  const state = saved(guest);
  expect(() => guest.vm.restore({ ...state, own: { ...state.own, ...part } as HypervOwnState })).toThrow(
    message,
  );
  expect(guest.vm.save()).toEqual(state);
});
