import type { Gfn } from '@heki/physical-memory';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { complete } from '../answer.ts';
import { sealed, type World } from '../testing/world.ts';
import type { AuthorityDefectId } from '../weaker/authority-defects.ts';
import { blind } from './blind.ts';
import { judgeProgram } from './judge-program.ts';

const ADDRESS = 0xffff_ffff_c010_0000n;
/** Of the world's kernel: its function `f`. */
const HELPER = 0xffff_ffff_8100_0080n;
/** Where another program begins. */
const OTHER = 0xffff_ffff_c020_0040n;
const AROUND = { helpers: new Set([HELPER]), programs: new Set([OTHER]), ownOffset: 0x19a18 };
const FRAME = [0x55, 0x48, 0x89, 0xe5];
const END = [0xc9, 0xc3];
const NOTHING_DRAWN = { constants: [], landings: [], body: 0 };
/** MOV BYTE PTR [RBP + RDI * 8 - 21], 2. */
const SPRAY = [0xc6, 0x44, 0xfd, 0xeb, 0x02];

const compiled = (...body: number[]): Uint8Array => Uint8Array.of(...FRAME, ...body, ...END);
const u32 = (value: number): number[] => [...new Uint8Array(Int32Array.of(value).buffer)];
/** A call or jump, `opcode`, from offset 4 of a program. */
const leadingTo = (opcode: number, target: bigint, at = 4): number[] => [
  opcode,
  ...u32(Number(BigInt.asIntN(32, target - ADDRESS - BigInt(at + 5)))),
];
const whyNot = (code: Uint8Array): string | undefined => {
  const judged = judgeProgram(code, ADDRESS, AROUND);
  return judged.ok ? undefined : judged.why;
};

/** What Linux's JIT makes of a program that has the constant blinded, in each width of the halves. */
const MOV32 = [0x41, 0xba];
const MOV64 = [0x49, 0xc7, 0xc2];
const XOR32 = [0x41, 0x81, 0xf2];
const XOR64 = [0x49, 0x81, 0xf2];

describe('the grammar', () => {
  test.each<[what: string, code: Uint8Array]>([
    ['a frame and its end', compiled()],
    [
      'ENDBR64 and the no-op of fentry before it',
      Uint8Array.of(0xf3, 0x0f, 0x1e, 0xfa, 0x0f, 0x1f, 0x44, 0, 0, ...compiled()),
    ],
    ['a stack of 512 bytes', compiled(0x48, 0x81, 0xec, ...u32(512))],
    ['callee-saved registers', compiled(0x53, 0x41, 0x55, 0x41, 0x5d, 0x5b)],
    [
      'loads and stores',
      compiled(0x48, 0x8b, 0x47, 0x10, 0x48, 0x89, 0x45, 0xf8, 0x0f, 0xb6, 0x87, ...u32(0x120)),
    ],
    ['a load from an arena', compiled(0x4a, 0x0f, 0xb6, 0x44, 0x27, 0x10)],
    ['an atomic addition', compiled(0xf0, 0x48, 0x01, 0x07)],
    ['a branch over an instruction', compiled(0x48, 0x85, 0xff, 0x74, 0x03, 0x48, 0x31, 0xc0, 0x31, 0xc0)],
    ['a call of a helper', compiled(...leadingTo(0xe8, HELPER))],
    [
      'a jump to a helper in place of RET',
      Uint8Array.of(...FRAME, 0xc9, ...leadingTo(0xe9, HELPER, 5), 0xcc),
    ],
    ['a call of another program', compiled(...leadingTo(0xe8, OTHER))],
    ['SHLX of R11 by RCX', compiled(0xc4, 0x42, 0xf1, 0xf7, 0xdb)],
    [
      "6.1's limit of a load that may fail",
      compiled(0x49, 0xbb, ...u32(0x974), 0, 0x80, 0, 0, 0x49, 0x81, 0xc3, ...u32(0x974)),
    ],
    ["6.12's limit, with five levels", compiled(0x49, 0xba, 0, 0, 0xa0, 0, 0, 0, 0, 1)],
    ['a per-CPU address', compiled(0x65, 0x48, 0x03, 0x04, 0x25, ...u32(0x19a18))],
    ['small constants', compiled(0xb8, ...u32(-128), 0x48, 0xc7, 0xc7, ...u32(127))],
    ['a large constant in two halves', compiled(...MOV32, ...u32(0x12345678), ...XOR64, ...u32(0x7654_3210))],
  ])('allows %s', (_, code) => expect(whyNot(code)).toBeUndefined());

  test.each<[what: string, code: Uint8Array, why: RegExp]>([
    ['WRMSR', compiled(0x0f, 0x30), /opcode f30/],
    ['MOV to CR0', compiled(0x0f, 0x22, 0xc0), /opcode f22/],
    ['OUT', compiled(0xee), /opcode ee/],
    ['a string instruction', compiled(0xf3, 0xa4), /opcode f3/],
    ['SYSCALL', compiled(0x0f, 0x05), /opcode f05/],
    ['a segment prefix', compiled(0x65, 0x48, 0x8b, 0x07), /opcode 65/],
    ['an indirect jump', compiled(0xff, 0xe0), /opcode ff/],
    ['an indirect call', compiled(0xff, 0x50, 0x08), /opcode ff/],
    ['a call to elsewhere', compiled(...leadingTo(0xe8, HELPER + 1n)), /no helper/],
    ['a call into another program', compiled(...leadingTo(0xe8, OTHER + 5n)), /no helper, and no program/],
    [
      'a jump to another program in place of RET',
      Uint8Array.of(...FRAME, 0xc9, ...leadingTo(0xe9, OTHER, 5)),
      /no helper/,
    ],
    ['another per-CPU address', compiled(0x65, 0x48, 0x03, 0x04, 0x25, ...u32(0x19a10)), /per-CPU/],
    ['a per-CPU address into RSP', compiled(0x65, 0x48, 0x03, 0x24, 0x25, ...u32(0x19a18)), /frame pointer/],
    ['per-CPU data by a register', compiled(0x65, 0x48, 0x03, 0x04, 0x27, ...u32(0x19a18)), /opcode 65/],
    ['SHLX into the stack pointer', compiled(0xc4, 0xe2, 0xf1, 0xf7, 0xe4), /stack or frame pointer/],
    ['SHLX of memory', compiled(0xc4, 0xe2, 0xf1, 0xf7, 0x07), /opcode c4/],
    ['SHLX from another register', compiled(0xc4, 0xe2, 0xf1, 0xf7, 0xc1), /another register/],
    ['BEXTR', compiled(0xc4, 0xe2, 0xf0, 0xf7, 0xc0), /opcode c4/],
    ['another limit', compiled(0x49, 0xbb, 0, 0, 0, 0, 0, 0x80, 0, 1), /opcode bb/],
    ['a limit and more than a displacement', compiled(0x49, 0xbb, 0, 0, 1, 0, 0, 0x80, 0, 0), /opcode bb/],
    ['a sum with more than a displacement', compiled(0x49, 0x81, 0xc3, ...u32(4096)), /not blinded/],
    ['a jump to elsewhere', compiled(...leadingTo(0xe9, HELPER)), /none may lead/],
    ['a branch into an instruction', compiled(0x74, 0x01, 0x48, 0x31, 0xc0), /none may lead/],
    ['a branch to RET behind LEAVE', compiled(0x74, 0x01), /none may lead/],
    ['a branch behind the end', compiled(0x74, 0x7f), /none may lead/],
    ['a branch to before the frame', compiled(0xeb, 0xfa), /none may lead/],
    [
      'a branch between the halves of a constant',
      compiled(0x74, 0x06, ...MOV32, ...u32(5), ...XOR32, ...u32(500)),
      /none may lead/,
    ],
    ['a constant of 64 bits', compiled(0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8), /opcode b8/],
    ['a constant of 32 bits', compiled(0xb8, ...u32(128)), /not blinded/],
    ['a half without the other', compiled(...MOV32, ...u32(0x12345678), 0x90), /not blinded/],
    // From their third byte on: STD, JMP to the next one's third byte.
    ['stores of bytes that are code', compiled(...SPRAY, ...SPRAY, ...SPRAY), /opcode c6/],
    ['a constant in memory', compiled(0xc7, 0x07, ...u32(1)), /opcode c7 with another kind of operand/],
    ['a product with a constant', compiled(0x6b, 0xc0, 0x0a), /opcode 6b/],
    ['an index that is code', compiled(0x48, 0x8b, 0x44, 0xf7, 0xeb), /an index register/],
    ['a far displacement', compiled(0x48, 0x8b, 0x87, ...u32(4096)), /a displacement of 4096/],
    ['an address without a register', compiled(0x48, 0x8b, 0x05, ...u32(0)), /relative to no register/],
    [
      'an immediate that REX.W makes longer than 66 says, with CLI in what follows',
      compiled(0x66, 0x48, 0xc7, 0xc0, 0, 0, 0x48, 0x01, 0xfa),
      /66 with REX.W/,
    ],
    ['another stack', compiled(0x48, 0x89, 0xc4), /stack or frame pointer/],
    ['another frame', compiled(0x48, 0x89, 0xc5), /stack or frame pointer/],
    ['a pushed address as the return address', compiled(0x50, 0xc3), /without LEAVE/],
    ['no frame', Uint8Array.of(0x31, 0xc0, 0xc3), /begin with a frame/],
    ['no end', Uint8Array.of(...FRAME, 0x90), /does not end/],
    ['an end within an instruction', Uint8Array.of(...FRAME, 0xe8, 0, 0), /within an instruction/],
    ['int3 in its midst', compiled(0xcc), /int3/],
  ])('refuses %s', (_, code, why) => expect(whyNot(code)).toMatch(why));

  test('reads any bytes, to an end or to a reason', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const judged = judgeProgram(compiled(...bytes), ADDRESS, AROUND);
        expect(judged.ok || judged.why.length > 0).toBe(true);
      }),
      { numRuns: 500 },
    );
  });
});

/** What the halves of a constant give: 64 bits. */
function givenBy(code: Uint8Array, wideMov: boolean, wideXor: boolean): bigint {
  const view = new DataView(code.buffer);
  const from = FRAME.length + (wideMov ? MOV64 : MOV32).length;
  const mov = BigInt(wideMov ? view.getInt32(from, true) : view.getUint32(from, true));
  const other = BigInt(view.getInt32(from + 4 + 3, true));
  return BigInt.asUintN(wideXor ? 64 : 32, mov ^ other);
}

describe('blinding', () => {
  test('keeps the value of a constant and none of its bytes, whatever the halves are', () => {
    const bool = fc.boolean();
    fc.assert(
      fc.property(
        fc.integer(),
        fc.integer(),
        bool,
        bool,
        fc.integer({ min: 0, max: 255 }),
        (a, b, wideMov, wideXor, salt) => {
          const code = compiled(
            ...(wideMov ? MOV64 : MOV32),
            ...u32(a),
            ...(wideXor ? XOR64 : XOR32),
            ...u32(b),
          );
          const before = givenBy(code, wideMov, wideXor);
          const halves = code.slice();
          const judged = judgeProgram(code, ADDRESS, AROUND);
          expect(judged.ok).toBe(true);
          if (!judged.ok) return;
          expect(blind(code, judged, Uint8Array.of(salt), new Uint8Array(32))).toBeUndefined();
          expect(givenBy(code, wideMov, wideXor)).toBe(before);
          expect(code).not.toEqual(halves);
        },
      ),
      { numRuns: 200 },
    );
  });

  test('refuses bytes of a privileged instruction that nothing drawn is part of', () => {
    // MOV RAX, [RDI + 15], OR EAX, EAX: 0f 09 is WBINVD.
    const code = compiled(0x48, 0x8b, 0x47, 0x0f, 0x09, 0xc0);
    expect(whyNot(code)).toBeUndefined();
    expect(blind(code, NOTHING_DRAWN, new Uint8Array(32), new Uint8Array(32))).toMatch(
      /offset 0x7: .*privileged/,
    );
  });

  /** What `blind` says of a program at `address` once it is judged. */
  const blinded = (code: Uint8Array, address = ADDRESS): string | undefined => {
    const judged = judgeProgram(code, address, AROUND);
    return judged.ok ? blind(code, judged, new Uint8Array(32), new Uint8Array(32)) : judged.why;
  };

  test.each<[what: string, code: Uint8Array, why: RegExp | undefined]>([
    [
      'INCSSP: LFENCE behind a displacement',
      compiled(0x48, 0x8b, 0x47, 0xf3, 0x0f, 0xae, 0xe8),
      /enforcement/,
    ],
    ['LFENCE behind another one', compiled(0x48, 0x8b, 0x47, 0xf1, 0x0f, 0xae, 0xe8), undefined],
    ['MOV to CR by REX2', compiled(0x49, 0x89, 0xd5, 0x89, 0x22, 0x0f, 0xb6, 0xc0), /privileged/],
    [
      'WRMSRNS with its MSR: XCHG of EDI behind a displacement',
      compiled(0x48, 0x8b, 0x47, 0xc4, 0x87, 0x7a, 0xf6),
      /privileged/,
    ],
  ])('knows %s', (_, code, why) =>
    why === undefined ? expect(blinded(code)).toBeUndefined() : expect(blinded(code)).toMatch(why),
  );

  test('leaves ENDBR64 at the beginning alone: behind the frame it becomes a no-op', () => {
    const [landing, nop] = [
      [0xf3, 0x0f, 0x1e, 0xfa],
      [0x0f, 0x1f, 0x40, 0x00],
    ];
    const code = Uint8Array.of(...landing, ...compiled(...landing, 0x31, 0xc0, ...landing));
    expect(blinded(code)).toBeUndefined();
    expect(code).toEqual(Uint8Array.of(...landing, ...compiled(...nop, 0x31, 0xc0, ...nop)));
  });

  test('refuses a call over a distance that IBT would take for a place to land', () => {
    const distance = 0xfa1e_0ff3 - 2 ** 32;
    // The pack lies where the guest names it, and no-ops before the call choose the lowest bits.
    const end = HELPER - BigInt(distance);
    const noOps = Number((end - 9n) % 4096n);
    const code = compiled(...new Array<number>(noOps).fill(0x90), 0xe8, ...u32(distance));
    expect(blinded(code, end - 9n - BigInt(noOps))).toMatch(/enforcement/);
  });

  test('draws until no privileged instruction begins anywhere', () => {
    const many = compiled(
      ...Array.from({ length: 400 }, () => [
        ...MOV32,
        ...u32(0x1234_5678),
        ...XOR32,
        ...u32(0x300f_300f),
      ]).flat(),
    );
    const judged = judgeProgram(many, ADDRESS, AROUND);
    expect(judged.ok && blind(many, judged, new Uint8Array(32), new Uint8Array(32))).toBeUndefined();
    for (let at = 0; at + 1 < many.length; at++)
      expect(many[at] === 0x0f && [0x22, 0x30, 0x32, 0x01, 0x00].includes(many[at + 1] ?? 0)).toBe(false);
  });
});

const PACK = [30, 31] as Gfn[];
const PROGRAM = 22 as Gfn;

function withPack(defects: { readonly [id in AuthorityDefectId]?: boolean } = {}): World {
  const world = sealed(defects);
  expect(complete(world.authority.makePack(PACK, ADDRESS))).toEqual({ ok: true, value: 2 });
  return world;
}

function add(world: World, slot: number, code: Uint8Array, pack = 2): string {
  world.bytes(PROGRAM).fill(0).set(code);
  const answer = complete(
    world.authority.addProgram({ pack, slot }, { pages: [PROGRAM], length: code.length }),
  );
  return answer.ok ? 'ok' : answer.why;
}

describe('packs of compiled programs', () => {
  test('hold int3 but for programs, in whole slots, and nobody but the owner writes there', () => {
    const world = withPack();
    expect(world.rights.get(30)).toEqual({ read: true, write: false, execute: true });
    expect(add(world, 1, compiled(0x31, 0xc0))).toBe('ok');
    expect([...world.bytes(30).subarray(62, 74)]).toEqual([0xcc, 0xcc, ...compiled(0x31, 0xc0), 0xcc, 0xcc]);
    expect(world.authority.expected(2, 0)?.subarray(0, 4096)).toEqual(world.bytes(30));
    expect(world.authority.frame(30 as never)).toEqual({ type: 'jit', image: 2 });
    expect(world.authority.removeProgram({ pack: 2, slot: 1 })).toMatchObject({ ok: true });
    expect(world.bytes(30).every((byte) => byte === 0xcc)).toBe(true);
    expect(world.authority.removeProgram({ pack: 2, slot: 1 })).toMatchObject({ why: 'no-such-image' });
  });

  test('take a program over the edge of two pages, and none over another or outside', () => {
    const world = withPack();
    const long = compiled(...new Array(100).fill(0x90));
    expect(add(world, 63, long)).toBe('ok');
    expect([world.bytes(30)[4095], world.bytes(31)[0]]).toEqual([0x90, 0x90]);
    expect([62, 64, 63].map((slot) => add(world, slot, long))).toEqual(['not-free', 'not-free', 'not-free']);
    expect([127, 128, -1, 0.5].map((slot) => add(world, slot, long))).toEqual(new Array(4).fill('not-free'));
    expect(add(world, 126, long)).toBe('ok');
    expect(world.authority.retire(2)).toBeDefined();
  });

  test('link calls to where the program lies, and to helpers of the sealed kernel alone', () => {
    const world = withPack();
    expect(add(world, 0, compiled(...leadingTo(0xe8, HELPER)))).toBe('ok');
    expect(add(world, 1, compiled(...leadingTo(0xe8, HELPER)))).toBe('not-in-grammar');
  });

  test('keep a program that another one calls, and the pack that it lies in', () => {
    const world = withPack();
    const other = 0xffff_ffff_c020_0000n;
    expect(complete(world.authority.makePack([32 as Gfn], other))).toEqual({ ok: true, value: 3 });
    const caller = compiled(...leadingTo(0xe8, other + 0x40n));
    expect(add(world, 0, caller)).toBe('not-in-grammar');
    expect(add(world, 1, compiled(), 3)).toBe('ok');
    expect(add(world, 0, caller)).toBe('ok');
    expect(world.authority.removeProgram({ pack: 3, slot: 1 })).toMatchObject({ why: 'in-use' });
    expect(complete(world.authority.retire(3))).toMatchObject({ why: 'in-use' });
    world.authority.restore(world.authority.save());
    expect(world.authority.removeProgram({ pack: 3, slot: 1 })).toMatchObject({ why: 'in-use' });
    expect(world.authority.removeProgram({ pack: 2, slot: 0 })).toMatchObject({ ok: true });
    expect(world.authority.removeProgram({ pack: 3, slot: 1 })).toMatchObject({ ok: true });
    expect(add(world, 0, caller)).toBe('not-in-grammar');
    expect(complete(world.authority.retire(3))).toMatchObject({ ok: true });
  });

  test('take no program that calls more functions than the owner keeps in mind', () => {
    const world = sealed();
    const frames = Array.from({ length: 9 }, (_, index) => (45 + index) as Gfn);
    expect(complete(world.authority.makePack(frames, ADDRESS))).toMatchObject({ ok: true });
    for (let slot = 0; slot < 513; slot++) expect(add(world, slot, compiled())).toBe('ok');
    const calling = (count: number): Uint8Array => {
      const calls = Array.from({ length: count }, (_, index) => {
        const distance = 64 * index - (513 * 64 + FRAME.length + 5 * (index + 1));
        return [0xe8, ...u32(distance)];
      });
      return compiled(...calls.flat());
    };
    expect(add(world, 513, calling(513))).toBe('malformed');
    expect(add(world, 513, calling(512))).toBe('ok');
    expect(world.authority.removeProgram({ pack: 2, slot: 511 })).toMatchObject({ why: 'in-use' });
    expect(world.authority.removeProgram({ pack: 2, slot: 512 })).toMatchObject({ ok: true });
  });

  test('look at a program once', () => {
    const world = withPack();
    world.bytes(PROGRAM).set(compiled(0x90));
    const request = world.authority.addProgram({ pack: 2, slot: 0 }, { pages: [PROGRAM], length: 7 });
    expect(request.next().value).toBe('copied');
    world.bytes(PROGRAM).fill(0xf4);
    expect(complete(request)).toMatchObject({ ok: true });
    expect([...world.bytes(30).subarray(0, 7)]).toEqual([...compiled(0x90)]);
  });

  test('go back empty, and are no packs any more', () => {
    const world = withPack();
    expect(add(world, 0, compiled())).toBe('ok');
    expect(complete(world.authority.retire(2))).toMatchObject({ ok: true });
    expect(world.bytes(30).every((byte) => byte === 0)).toBe(true);
    expect(world.rights.get(30)).toEqual({ read: true, write: true, execute: false });
    expect(add(world, 0, compiled())).toBe('no-such-image');
  });

  test('are made of pages that are empty or int3 throughout, and of no others', () => {
    const world = sealed();
    world.bytes(30).fill(0xcc);
    world.bytes(31).fill(0xcc, 1);
    expect(complete(world.authority.makePack(PACK, ADDRESS))).toMatchObject({ why: 'not-free' });
    world.bytes(31).fill(0xcc);
    expect(complete(world.authority.makePack([0 as Gfn], ADDRESS))).toMatchObject({ why: 'not-free' });
    expect(complete(world.authority.makePack([], ADDRESS))).toMatchObject({ why: 'malformed' });
    expect(complete(world.authority.makePack(PACK, ADDRESS + 1n))).toMatchObject({ why: 'malformed' });
    expect(complete(world.authority.makePack(PACK, HELPER - 0x80n))).toMatchObject({ why: 'not-free' });
    expect(complete(world.authority.makePack(PACK, ADDRESS))).toMatchObject({ ok: true });
  });

  test('outlive a saved state, with their slots', () => {
    const world = withPack();
    expect(add(world, 1, compiled())).toBe('ok');
    const saved = world.authority.save();
    world.authority.restore(saved);
    expect(world.rights.get(31)).toEqual({ read: true, write: false, execute: true });
    expect([add(world, 1, compiled()), add(world, 2, compiled())]).toEqual(['not-free', 'ok']);
    const [kernel, pack] = saved.images;
    const images = [kernel, { ...pack, programs: new Map([[127, 2]]) }];
    expect(() => world.authority.restore({ ...saved, images })).toThrow('programs that lie in its slots');
    const long = new Map([['ftrace', { bytes: new Uint8Array(4097) }]]);
    const withLong = [{ ...kernel, image: { ...kernel?.image, templates: long } }, pack];
    expect(() => world.authority.restore({ ...saved, images: withLong as never })).toThrow(
      'template ftrace is not of 1 to 4096 bytes',
    );
    for (const wrong of [{ ownOffset: '0' }, { helpers: 5 }, { helpers: 'f' }, { templates: 5 }]) {
      const forged = [{ ...kernel, image: { ...kernel?.image, ...wrong } }, pack];
      expect(() => world.authority.restore({ ...saved, images: forged })).toThrow(
        'images[0]: expected an image',
      );
    }
  });

  test('B-A13 takes a program as it is', () => {
    const spray = compiled(0x48, 0xb8, 0x0f, 0x30, 0xeb, 0x04, 0, 0, 0, 0);
    expect(add(withPack(), 0, spray)).toBe('not-in-grammar');
    const world = withPack({ 'B-A13': true });
    expect(add(world, 0, spray)).toBe('ok');
    expect([...world.bytes(30).subarray(6, 10)]).toEqual([0x0f, 0x30, 0xeb, 0x04]);
  });

  test('B-A14 leaves constants as they came', () => {
    const program = compiled(
      ...MOV32,
      ...u32(0xb890_9090 - 2 ** 32),
      ...XOR32,
      ...u32(0x9090_c360 - 2 ** 32),
    );
    const written = (world: World): number[] => {
      expect(add(world, 0, program)).toBe('ok');
      return [...world.bytes(30).subarray(0, program.length)];
    };
    expect(written(withPack({ 'B-A14': true }))).toEqual([...program]);
    expect(written(withPack())).not.toEqual([...program]);
  });
});
