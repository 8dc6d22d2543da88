import { encodeLvbsTextPatch, LvbsFunction } from '@heki/hypercall/hyperv';
import type { Gfn, Gpa } from '@heki/physical-memory';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type LvbsDefectId, lvbsDefectSwitches, lvbsDefects } from '../defects/lvbs-defects.ts';
import type { HypervOptions } from '../options.ts';
import { createTestGuest, type TestGuest } from '../testing/guest.ts';
import type { TrustedModule } from './trusted-code.ts';

const {
  FREE_MODULE_INIT,
  KEXEC_VALIDATE,
  LOAD_KDATA,
  PATCH_TEXT,
  PROTECT_MEMORY,
  UNLOAD_MODULE,
  VALIDATE_MODULE,
} = LvbsFunction;
const [KIND_TEXT, KIND_DATA, KIND_RODATA, KIND_RO_AFTER_INIT, KIND_INIT_TEXT, KIND_PATCHES] = [
  0, 1, 2, 3, 4, 8,
];
const RW = 3;

const pattern = (length: number, seed: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => (i * 7 + seed) % 256);
const rights = (guest: TestGuest, address: number) => {
  const effective = guest.vm.effectiveRights((address / 4096) as Gfn);
  return (
    effective &&
    [effective.read, effective.write, effective.supervisorExecute, effective.userExecute].map(Number).join('')
  );
};

const JUMP = Uint8Array.of(0xe9, 1, 2, 3, 4);
const NOP5 = Uint8Array.of(0x0f, 0x1f, 0x44, 0x00, 0x00);

/** Text at 0x500000 (two pages), rodata, data, ro-after-init and init text behind it. */
const PARTS: readonly (readonly [number, number, number])[] = [
  [0x50_0000, 0x50_2000, KIND_TEXT],
  [0x50_2000, 0x50_3000, KIND_RODATA],
  [0x50_3000, 0x50_4000, KIND_DATA],
  [0x50_4000, 0x50_5000, KIND_RO_AFTER_INIT],
  [0x50_5000, 0x50_6000, KIND_INIT_TEXT],
];

/** A kernel whose memory is data but for its text at 0x200000, with a module's bytes in place. */
function loading(options: HypervOptions = {}): TestGuest {
  const guest = createTestGuest(options);
  guest.callWith(PROTECT_MEMORY, [0, 0x100_0000, RW], [0x20_0000, 0x21_0000, 5]);
  guest.vm.secureKernel.trustModule({
    name: 'good',
    sections: [
      {
        kind: KIND_TEXT,
        bytes: pattern(0x1800, 1),
        sites: [{ offset: 0x10, length: 4, values: [Uint8Array.of(9, 9, 9, 9)] }],
        patches: [
          { offset: 0x20, bytes: JUMP },
          { offset: 0xffe, bytes: JUMP },
        ],
      },
      { kind: KIND_RODATA, bytes: pattern(0x100, 2), sites: [] },
      { kind: KIND_INIT_TEXT, bytes: pattern(0x80, 3), sites: [] },
    ],
  });
  guest.put(0x50_0000, pattern(0x1800, 1));
  guest.put(0x50_0010, [9, 9, 9, 9]);
  guest.put(0x50_2000, pattern(0x100, 2));
  guest.put(0x50_3000, [1, 2, 3]);
  guest.put(0x50_5000, pattern(0x80, 3));
  return guest;
}

test('a module that is what its author built gets its rights, and loses its init', () => {
  const guest = loading();
  expect(guest.call(LvbsFunction.SIGNAL_END_OF_BOOT)).toBe(0);
  const token = guest.callWith(VALIDATE_MODULE, ...PARTS);
  expect(token).toBe(1);
  expect(PARTS.map(([start]) => rights(guest, start))).toEqual(['1011', '1001', '1101', '1101', '1011']);
  expect(guest.call(FREE_MODULE_INIT, BigInt(token))).toBe(0);
  expect(PARTS.map(([start]) => rights(guest, start))).toEqual(['1011', '1001', '1101', '1001', '1101']);
  expect(guest.call(UNLOAD_MODULE, BigInt(token))).toBe(0);
  expect(PARTS.map(([start]) => rights(guest, start))).toEqual(['1101', '1101', '1101', '1101', '1101']);
  expect(guest.call(UNLOAD_MODULE, BigInt(token))).toBe(-2);
  expect(guest.call(FREE_MODULE_INIT, 7n)).toBe(-2);
});

test('one byte that is not at a declared site makes it no module, and its pages stay data', () => {
  for (const address of [0x50_0000, 0x50_0014, 0x50_17ff, 0x50_1800, 0x50_1fff, 0x50_2000, 0x50_5000]) {
    const guest = loading();
    guest.put(address, [guest.byte(address) ^ 1]);
    expect(guest.callWith(VALIDATE_MODULE, ...PARTS)).toBe(-13);
    expect(rights(guest, 0x50_0000)).toBe('1101');
  }
});

test('parts that are missing, twice there, not whole pages or no memory are refused', () => {
  const [text = [0, 0, 0] as const, ...rest] = PARTS;
  const data = PARTS.filter(([, , kind]) => kind === KIND_DATA);
  for (const parts of [
    PARTS.slice(0, 2),
    [...PARTS, text],
    [...PARTS, ...data],
    [[0x50_0000, 0x50_1800, KIND_TEXT] as const, ...rest],
    [[0x500_0000, 0x500_2000, KIND_TEXT] as const, ...rest],
    [[0x50_0000, 0x50_2000, 9] as const, ...rest],
    [[0, 2 ** 40, KIND_TEXT] as const],
  ]) {
    const guest = loading();
    expect(guest.callWith(VALIDATE_MODULE, ...parts)).toBeLessThan(0);
    expect(rights(guest, 0x50_0000)).toBe('1101');
  }
});

test('a patch of text that the kernel gave up is none of the module that has its frames', () => {
  for (const defects of [{ 'B-L2': true }, {}]) {
    const guest = loading({ defects });
    // In init text of the kernel's own, which is data by the end of boot.
    guest.put(0x7_1000, encodeLvbsTextPatch({ pa: 0x50_2010 as Gpa, secondPa: 0 as Gpa, bytes: JUMP }));
    expect(guest.callWith(LOAD_KDATA, [0x7_1000, 0x7_2000, KIND_PATCHES])).toBe(0);
    expect(guest.call(LvbsFunction.SIGNAL_END_OF_BOOT)).toBe(0);
    expect(guest.callWith(VALIDATE_MODULE, ...PARTS)).toBe(1);
    const before = guest.byte(0x50_2010);
    expect(patch(guest, 0x50_2010, [0xcc])).toBe('B-L2' in defects ? 0 : -2);
    expect(guest.byte(0x50_2010)).toBe('B-L2' in defects ? 0xcc : before);
  }
});

test('a module’s pages can be claimed neither again nor by protect-memory', () => {
  const guest = loading();
  expect(guest.callWith(VALIDATE_MODULE, ...PARTS)).toBe(1);
  expect(guest.callWith(VALIDATE_MODULE, ...PARTS)).toBe(-1);
  expect(guest.callWith(PROTECT_MEMORY, [0x50_0000, 0x50_1000, 7])).toBe(-1);
  expect(rights(guest, 0x50_0000)).toBe('1011');
});

test('the kernel’s own text cannot be passed off as a module to make it writable', () => {
  const guest = loading();
  expect(guest.callWith(VALIDATE_MODULE, [0x20_0000, 0x20_1000, KIND_DATA])).toBeLessThan(0);
  expect(rights(guest, 0x20_0000)).toBe('1011');
});

function patch(guest: TestGuest, address: number, bytes: ArrayLike<number>, secondPage = 0): number {
  const encoded = encodeLvbsTextPatch({
    pa: address as Gpa,
    secondPa: secondPage as Gpa,
    bytes: Uint8Array.from(bytes),
  });
  guest.put(0x7_0000, encoded);
  return guest.call(PATCH_TEXT, 0x7_0000n);
}

/**
 * The kernel told VTL1 of a jump label at 0x200100, of one that straddles 0x201ffe and, elsewhere, 0x208000, and of one with all but its first
 * byte elsewhere.
 */
function patchable(options: HypervOptions = {}): TestGuest {
  const guest = loading(options);
  guest.put(0x20_0100, NOP5);
  const entries = [
    { pa: 0x20_0100 as Gpa, secondPa: 0 as Gpa, bytes: JUMP },
    { pa: 0x20_1ffe as Gpa, secondPa: 0x20_8000 as Gpa, bytes: JUMP },
    { pa: 0x20_2fff as Gpa, secondPa: 0x20_9000 as Gpa, bytes: JUMP },
  ];
  for (const [i, entry] of entries.entries()) guest.put(0x7_1000 + 32 * i, encodeLvbsTextPatch(entry));
  expect(guest.callWith(LOAD_KDATA, [0x7_1000, 0x7_2000, KIND_PATCHES])).toBe(0);
  guest.call(LvbsFunction.SIGNAL_END_OF_BOOT);
  return guest;
}

test('text is patched by the three steps of text_poke to what was computed beforehand, and back', () => {
  const guest = patchable();
  const now = (): number[] => [0, 1, 2, 3, 4].map((i) => guest.byte(0x20_0100 + i));
  for (const target of [JUMP, NOP5]) {
    expect(patch(guest, 0x20_0100, [0xcc])).toBe(0);
    expect(patch(guest, 0x20_0101, target.slice(1))).toBe(0);
    expect(patch(guest, 0x20_0100, target.slice(0, 1))).toBe(0);
    expect(now()).toEqual([...target]);
  }
  expect(guest.store(0x20_0100)).toBe(false);
});

test('a patch that straddles two pages goes on at the start of the second', () => {
  const guest = patchable();
  expect(patch(guest, 0x20_1ffe, [0xcc])).toBe(0);
  expect(patch(guest, 0x20_1fff, JUMP.slice(1), 0x20_8000)).toBe(0);
  expect(patch(guest, 0x20_1ffe, [0xe9])).toBe(0);
  expect([0x20_1ffe, 0x20_1fff, 0x20_8000, 0x20_8001, 0x20_8002].map((at) => guest.byte(at))).toEqual([
    ...JUMP,
  ]);
  expect(guest.byte(0x20_8fff)).toBe(0);
});

test('a patch whose first byte is the last of its page has its tail at the start of another', () => {
  const guest = patchable();
  const tail = JUMP.slice(1);
  expect(patch(guest, 0x20_9000, tail)).toBe(-22);
  expect(patch(guest, 0x20_2fff, [0xcc])).toBe(0);
  // Neither the page that follows, nor the middle of the right one.
  expect(patch(guest, 0x20_3000, tail)).toBe(-2);
  expect(patch(guest, 0x20_9001, tail)).toBe(-2);
  expect(patch(guest, 0x20_9000, tail)).toBe(0);
  expect(patch(guest, 0x20_2fff, [0xe9])).toBe(0);
  expect([0x20_2fff, 0x20_9000, 0x20_9001, 0x20_9002, 0x20_9003].map((at) => guest.byte(at))).toEqual([
    ...JUMP,
  ]);
  expect(guest.byte(0x20_3000)).toBe(0);
});

test('a request that is not a patch is refused before anything is stored', () => {
  const guest = patchable();
  // It straddles, and names no second page; and it has no bytes.
  expect(patch(guest, 0x20_1ffe, JUMP)).toBe(-22);
  expect(patch(guest, 0x20_0100, [])).toBe(-22);
  expect(guest.byte(0x20_1ffe)).toBe(0);
});

test('VTL1 is not a confused deputy: a breakpoint, too, goes only where a patch is known', () => {
  const guest = patchable();
  expect(patch(guest, 0x20_0200, [0xcc])).toBe(-2);
  expect(patch(guest, 0x20_0100, [0x90])).toBe(-13);
  expect(patch(guest, 0x20_0100, JUMP)).toBe(-2);
  expect(patch(guest, 0x20_0101, JUMP.slice(1))).toBe(-22);
  patch(guest, 0x20_0100, [0xcc]);
  expect(patch(guest, 0x20_0101, [1, 2, 3, 5])).toBe(-13);
  expect(patch(guest, 0x20_0101, [1, 2, 3])).toBe(-2);
  for (const request of [1n, 1n << 60n]) expect(guest.call(PATCH_TEXT, request)).toBe(-22);
  expect(guest.call(PATCH_TEXT, 0x7fff_f000n)).toBe(-14);
});

/** A table of patches at 0x72000, as VTL0 gives it. */
function table(guest: TestGuest, ...patches: { pa: number; secondPa?: number; bytes?: Uint8Array }[]) {
  guest.put(0x7_2000, new Uint8Array(4096));
  for (const [i, { pa, secondPa = 0, bytes = JUMP }] of patches.entries()) {
    guest.put(0x7_2000 + 32 * i, encodeLvbsTextPatch({ pa: pa as Gpa, secondPa: secondPa as Gpa, bytes }));
  }
  return [0x7_2000, 0x7_3000, KIND_PATCHES] as const;
}

const bytesAt = (guest: TestGuest, address: number, length = 5): number[] =>
  Array.from({ length }, (_, i) => guest.byte(address + i));

test('a module brings the patches that were signed with it, and they go with it', () => {
  const guest = loading();
  expect(guest.callWith(VALIDATE_MODULE, ...PARTS, table(guest, { pa: 0x20_0300 }))).toBe(-22);
  expect(guest.callWith(VALIDATE_MODULE, ...PARTS, table(guest, { pa: 0x50_0020 }))).toBe(1);
  expect(patch(guest, 0x50_0020, [0xcc])).toBe(0);
  expect(guest.call(UNLOAD_MODULE, 1n)).toBe(0);
  expect(patch(guest, 0x50_0020, [0xcc])).toBe(-2);
});

test('what was signed can be patched, whether or not VTL0 names it, where its parts were put', () => {
  const guest = loading();
  // Two pages of text that are apart.
  const text = pattern(0x1800, 1);
  guest.put(0x60_0000, new Uint8Array(4096));
  guest.put(0x60_0000, text.subarray(0x1000));
  const [, ...rest] = PARTS;
  const apart = [
    [0x50_0000, 0x50_1000, KIND_TEXT] as const,
    [0x60_0000, 0x60_1000, KIND_TEXT] as const,
    ...rest,
  ];
  expect(guest.callWith(VALIDATE_MODULE, ...apart)).toBe(1);
  expect(patch(guest, 0x50_0ffe, [0xcc])).toBe(0);
  expect(patch(guest, 0x50_0fff, JUMP.slice(1), 0x60_0000)).toBe(0);
  expect(patch(guest, 0x50_0ffe, [0xe9])).toBe(0);
  expect([...bytesAt(guest, 0x50_0ffe, 2), ...bytesAt(guest, 0x60_0000, 3)]).toEqual([...JUMP]);
});

test.each([
  ['another site', { pa: 0x50_0100 }],
  ['other bytes at a site', { pa: 0x50_0020, bytes: Uint8Array.of(0xe8, 1, 2, 3, 4) }],
  ['another second page', { pa: 0x50_0ffe, secondPa: 0x50_5000 }],
])('B-L1: VTL0 adds %s to the patches of a signed module', (_, entry) => {
  const refused = loading();
  expect(refused.callWith(VALIDATE_MODULE, ...PARTS, table(refused, { pa: 0x50_0020 }, entry))).toBe(-13);
  expect(rights(refused, 0x50_0000)).toBe('1101');
  const published = loading({ defects: { 'B-L1': true } });
  expect(published.callWith(VALIDATE_MODULE, ...PARTS, table(published, entry))).toBe(1);
  expect(patch(published, entry.pa, [0xcc])).toBe(0);
});

/** A guest whose module has a site in the last two bytes of its text and the first three of its init text. */
function straddling(options: HypervOptions): TestGuest {
  const guest = loading(options);
  expect(
    guest.callWith(VALIDATE_MODULE, ...PARTS, table(guest, { pa: 0x50_1ffe, secondPa: 0x50_5000 })),
  ).toBe(1);
  return guest;
}

test('B-L2: a patch that straddles into init text goes when the init text does', () => {
  const before = [1, 2, 3, 4, 5];
  const outcome = (options: HypervOptions) => {
    const guest = straddling(options);
    expect(guest.call(FREE_MODULE_INIT, 1n)).toBe(0);
    // The page has a new owner.
    guest.put(0x50_5000, before);
    patch(guest, 0x50_1ffe, [0xcc]);
    patch(guest, 0x50_1fff, JUMP.slice(1), 0x50_5000);
    return bytesAt(guest, 0x50_5000);
  };
  expect(outcome({ defects: { 'B-L1': true } })).toEqual(before);
  expect(outcome({ defects: { 'B-L1': true, 'B-L2': true } })).toEqual([2, 3, 4, 4, 5]);
});

test('B-L3: a relocation holds what was signed for it, and nothing else', () => {
  const outcome = (options: HypervOptions, bytes: readonly number[]) => {
    const guest = loading(options);
    guest.put(0x50_0010, bytes);
    return guest.callWith(VALIDATE_MODULE, ...PARTS);
  };
  const built = [...pattern(0x14, 1).subarray(0x10)];
  expect(outcome({}, [9, 9, 9, 9])).toBe(1);
  expect(outcome({}, built)).toBe(1);
  for (const bytes of [
    [9, 9, 9, 8],
    [...built.slice(0, 3), 9],
    [0xde, 0xad, 0xbe, 0xef],
  ]) {
    expect(outcome({}, bytes)).toBe(-13);
    expect(outcome({ defects: { 'B-L3': true } }, bytes)).toBe(1);
  }
});

test('B-L4: the pages of a module that is unloaded hold nothing of it when VTL0 can write them again', () => {
  const outcome = (options: HypervOptions) => {
    const guest = loading(options);
    expect(guest.callWith(VALIDATE_MODULE, ...PARTS)).toBe(1);
    expect(guest.store(0x50_2000)).toBe(false);
    expect(guest.call(UNLOAD_MODULE, 1n)).toBe(0);
    const left = [0x50_0000, 0x50_2000].map((at) => bytesAt(guest, at, 2));
    expect(guest.store(0x50_2000)).toBe(true);
    return left;
  };
  expect(outcome({ defects: { 'B-L4': true } })).toEqual([
    [1, 8],
    [2, 9],
  ]);
  expect(outcome({})).toEqual([
    [0, 0],
    [0, 0],
  ]);
});

test('B-L5: no sequence of accepted steps leaves a site as something else than a variant or a breakpoint', () => {
  const steps = fc.array(
    fc.constantFrom<readonly [number, readonly number[]]>(
      [0, [0xcc]],
      [0, [0xe9]],
      [0, [0x0f]],
      [1, [1, 2, 3, 4]],
      [1, [0x1f, 0x44, 0, 0]],
    ),
    { maxLength: 8 },
  );
  const whole = [[...JUMP], [...NOP5], [0xcc, ...JUMP.subarray(1)], [0xcc, ...NOP5.subarray(1)]];
  const guest = patchable();
  fc.assert(
    fc.property(steps, (taken) => {
      guest.put(0x20_0100, NOP5);
      for (const [at, bytes] of taken) patch(guest, 0x20_0100 + at, bytes);
      expect(whole).toContainEqual(bytesAt(guest, 0x20_0100));
    }),
    { numRuns: 200 },
  );
});

test('B-L5: as published the head of a jump comes to stand on the tail of a no-op', () => {
  const guest = patchable({ secureKernel: 'lvbs-2026-02' });
  expect(patch(guest, 0x20_0100, [0xe9])).toBe(0);
  expect(bytesAt(guest, 0x20_0100)).toEqual([0xe9, 0x1f, 0x44, 0, 0]);
  expect(patch(patchable(), 0x20_0100, [0xe9])).toBe(-13);
});

test('the published profile has every hole, and each can be closed alone', () => {
  const holes = Object.keys(lvbsDefects) as LvbsDefectId[];
  expect(holes.map((id) => lvbsDefectSwitches('lvbs-2026-02')[id])).toEqual(holes.map(() => true));
  for (const id of holes) {
    expect(lvbsDefectSwitches('hardened', { [id]: true })).toEqual({
      ...lvbsDefectSwitches('hardened'),
      [id]: true,
    });
    expect(lvbsDefectSwitches('lvbs-2026-02', { [id]: false })[id]).toBe(false);
  }
});

test('kexec goes to a trusted image alone, which is read-only from then on, and whose text can be run', () => {
  const guest = loading();
  guest.vm.secureKernel.trustKexecImage({ name: 'next', bytes: pattern(0x1400, 5) });
  guest.put(0x60_0000, pattern(0x1400, 5));
  guest.put(0x60_0001, [0]);
  expect(guest.callWith(KEXEC_VALIDATE, [0x60_0000, 0x60_2000, 0])).toBe(-13);
  expect(rights(guest, 0x60_0000)).toBe('1101');
  guest.put(0x60_0000, pattern(0x1400, 5));
  expect(guest.callWith(KEXEC_VALIDATE, [0x60_0000, 0x60_2000, 0])).toBe(0);
  expect(guest.store(0x60_0000)).toBe(false);
  expect(rights(guest, 0x60_0000)).toBe('1011');
});

test('a second kernel to hand over to releases the first, and so does a call without one; that for crashes is apart', () => {
  const guest = loading();
  for (const seed of [5, 6]) {
    guest.vm.secureKernel.trustKexecImage({ name: `next ${seed}`, bytes: pattern(0x1000, seed) });
  }
  const load = (address: number, seed: number, crash = 0n): number => {
    guest.put(address, pattern(0x1000, seed));
    return guest.callWith(KEXEC_VALIDATE, [address, address + 0x1000, 0], crash);
  };
  const now = () => [0x60_0000, 0x60_1000, 0x60_2000].map((address) => rights(guest, address));
  expect(load(0x60_2000, 5, 1n)).toBe(0);
  expect(load(0x60_0000, 5)).toBe(0);
  expect(now()).toEqual(['1011', '1101', '1011']);
  expect(load(0x60_1000, 6)).toBe(0);
  expect(now()).toEqual(['1101', '1011', '1011']);
  // What was released is plain memory: a module may take it.
  expect(load(0x60_0000, 6)).toBe(0);
  expect(now()).toEqual(['1011', '1101', '1011']);
  // A kernel that is not trusted releases the one before it all the same.
  expect(load(0x60_1000, 7)).toBe(-13);
  expect(now()).toEqual(['1101', '1101', '1011']);
  expect(load(0x60_0000, 5)).toBe(0);
  expect(guest.call(KEXEC_VALIDATE, 0n, 0n)).toBe(0);
  expect(now()).toEqual(['1101', '1101', '1011']);
});

test('what is signed is trusted in every partition, from when it is signed on', () => {
  const modules: TrustedModule[] = [];
  const guests = [createTestGuest({ trusted: { modules } }), createTestGuest({ trusted: { modules } })];
  for (const guest of guests) guest.put(0x50_0000, pattern(0x1000, 7));
  const validate = (guest: TestGuest) => guest.callWith(VALIDATE_MODULE, [0x50_0000, 0x50_1000, KIND_TEXT]);
  expect(guests.map(validate)).toEqual([-13, -13]);
  modules.push({ name: 'm', sections: [{ kind: KIND_TEXT, bytes: pattern(0x1000, 7), sites: [] }] });
  expect(guests.map(validate)).toEqual([1, 1]);
});
