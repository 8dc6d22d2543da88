import type { Gfn, Pfn } from '@heki/physical-memory';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { complete } from './answer.ts';
import { RIGHTS } from './frames/frame-type.ts';
import { statesOf } from './images/site-bytes.ts';
import {
  ALIAS,
  createWorld,
  FILE,
  KERNEL,
  KERNEL_AT,
  MODULE,
  MODULE_AT,
  placeKernel,
  STATES,
  sealed,
  type World,
} from './testing/world.ts';

const bytesAt = (world: World, frame: number, offset: number, length: number): number[] => [
  ...world.bytes(frame).subarray(offset, offset + length),
];
const poke = (
  world: World,
  ...entries: readonly (readonly [site: number, state: number, image?: number])[]
) => complete(world.authority.poke(entries.map(([site, state, image = 1]) => ({ image, site, state }))));
const load = (world: World, placement = MODULE_AT) => complete(world.authority.load(FILE, placement));

describe('SEAL', () => {
  test('takes the kernel that was signed, where it lies, and gives each part its rights', () => {
    const world = sealed();
    expect(world.authority.sealed).toBe(true);
    const letters = [0, 1, 2, 3, 4].map((frame) => world.authority.frame(frame as Pfn).type);
    expect(letters).toEqual(['text', 'text', 'rodata', 'data', 'text']);
    expect(world.log).toEqual([
      'stopped',
      'others',
      '0 r-x',
      '1 r-x',
      '2 r--',
      '3 rw-',
      '4 r-x',
      'flush',
      'resumed',
    ]);
  });

  test('finds any byte of text or constants that is not the file’s, and seals nothing then', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(0, 1, 2, 4),
        fc.nat(4095),
        fc.integer({ min: 1, max: 255 }),
        (frame, at, flip) => {
          const world = createWorld();
          placeKernel(world);
          const page = world.bytes(frame);
          page[at] = (page[at] ?? 0) ^ flip;
          expect(complete(world.authority.seal(KERNEL, KERNEL_AT, STATES))).toMatchObject({
            ok: false,
            why: 'mismatch',
          });
          expect([world.authority.sealed, world.rights.size]).toEqual([false, 0]);
        },
      ),
      { numRuns: 40 },
    );
  });

  test('takes the states that the bytes prove, and no others', () => {
    const states = STATES.map((_, index) => (index === 0 || index === 3 ? 1 : 0));
    const world = createWorld();
    placeKernel(world, states);
    expect(complete(world.authority.seal(KERNEL, KERNEL_AT, STATES))).toMatchObject({ why: 'mismatch' });
    expect(complete(world.authority.seal(KERNEL, KERNEL_AT, states))).toMatchObject({ ok: true });
    expect(complete(world.authority.seal(KERNEL, KERNEL_AT, states))).toMatchObject({ why: 'wrong-time' });
  });

  test('believes that LOCK is DS where one processor runs, and nowhere else: B-A12 believes what it is told', () => {
    const states = STATES.map((_, index) => (index === 6 ? 1 : 0));
    const seal = (processors: number, defects = {}) => {
      const world = createWorld(defects);
      world.processors = processors;
      placeKernel(world, states);
      return complete(world.authority.seal(KERNEL, KERNEL_AT, states));
    };
    expect(seal(1)).toMatchObject({ ok: true });
    expect(seal(2)).toMatchObject({ why: 'malformed', text: 'site 6: 2 processors run: LOCK stays' });
    expect(seal(2, { 'B-A12': true })).toMatchObject({ ok: true });
  });

  test.each([
    ['a state that a site does not have', KERNEL_AT, STATES.map(() => 9), 'malformed'],
    ['too few states', KERNEL_AT, [], 'malformed'],
    [
      'a frame named twice',
      { ...KERNEL_AT, frames: [[0, 0], [2], [3], [4]] as unknown as Gfn[][] },
      STATES,
      'not-free',
    ],
    [
      'a frame that is not memory',
      { ...KERNEL_AT, frames: [[0, 99], [2], [3], [4]] as unknown as Gfn[][] },
      STATES,
      'not-free',
    ],
    [
      'a part over another one',
      {
        ...KERNEL_AT,
        bases: [KERNEL_AT.bases[0] ?? 0n, (KERNEL_AT.bases[0] ?? 0n) + 0x1000n, ...KERNEL_AT.bases.slice(2)],
      },
      STATES,
      'malformed',
    ],
    ['an address within a page', { ...KERNEL_AT, bases: [1n, 2n, 3n, 4n] }, STATES, 'malformed'],
    [
      'a part over another one',
      { ...KERNEL_AT, bases: KERNEL_AT.bases.with(3, (KERNEL_AT.bases[0] ?? 0n) + 0x1000n) },
      STATES,
      'malformed',
    ],
    [
      'two pages from the last one on',
      { ...KERNEL_AT, bases: [2n ** 64n - 0x1000n, ...KERNEL_AT.bases.slice(1)] },
      STATES,
      'malformed',
    ],
  ])('refuses %s', (_, placement, states, why) => {
    const world = createWorld();
    placeKernel(world);
    expect(complete(world.authority.seal(KERNEL, placement, states))).toMatchObject({ ok: false, why });
  });
});

describe('LOAD', () => {
  test('writes the module itself, into frames that no access can reach meanwhile, and flushes before it grants', () => {
    const world = sealed();
    world.log.length = 0;
    expect(load(world)).toEqual({ ok: true, value: 2 });
    expect(world.log).toEqual([
      ...['10 ---', '11 ---', '12 ---', 'flush'],
      ...['10 r-x', 'flush', '11 rw-', 'flush', '12 r-x', 'flush'],
    ]);
    // CALL f: from 0xffffffffc0000025 to 0xffffffff81000080.
    expect(bytesAt(world, 10, 0x21, 4)).toEqual([0x5b, 0x00, 0x00, 0xc1]);
    expect(bytesAt(world, 10, 0x10, 5)).toEqual([0x0f, 0x1f, 0x44, 0, 0]);
  });

  test('looks at the file once: what is changed after the copy changes nothing', () => {
    const world = sealed();
    const request = world.authority.load(FILE, MODULE_AT);
    expect(request.next().value).toBe('copied');
    world.bytes(20).fill(0);
    expect(complete(request)).toMatchObject({ ok: true });
    expect(load(world, { ...MODULE_AT, frames: [[30], [31], [32]] as unknown as Gfn[][] })).toMatchObject({
      why: 'not-signed',
    });
  });

  test('does not take frames that hold something, by whatever name', () => {
    const world = sealed();
    expect(load(world, { ...MODULE_AT, frames: [[0], [11], [12]] as unknown as Gfn[][] })).toMatchObject({
      why: 'not-free',
    });
    expect(load(world)).toMatchObject({ ok: true });
    const again = {
      bases: MODULE_AT.bases.map((base) => base + 0x10_0000n),
      frames: [[ALIAS.gfn], [31], [32]] as Gfn[][],
    };
    expect(load(world, again)).toMatchObject({ why: 'not-free' });
    expect(load(world, { ...MODULE_AT, frames: [[30], [31], [32]] as unknown as Gfn[][] })).toMatchObject({
      why: 'not-free',
    });
  });

  test('takes no part over another one: a call of init code would lead elsewhere', () => {
    const [text = 0n, data = 0n] = MODULE_AT.bases;
    expect(load(sealed(), { ...MODULE_AT, bases: [text, data, text] })).toMatchObject({ why: 'malformed' });
    // Beside each other, in whatever order.
    expect(load(sealed(), { ...MODULE_AT, bases: [data, text, text - 0x1000n] })).toMatchObject({ ok: true });
  });

  test('takes empty frames alone, and gives those back as they are that something was put into meanwhile', () => {
    const world = sealed();
    world.bytes(11)[4095] = 1;
    expect(load(world)).toMatchObject({
      why: 'not-free',
      text: 'host frame 11 is not empty: it may be in use',
    });
    expect(world.rights.has(10)).toBe(false);
    world.bytes(11)[4095] = 0;
    // A store of another processor, by what it had cached.
    world.atFlush = () => {
      world.bytes(12)[7] = 9;
    };
    expect(load(world)).toMatchObject({ why: 'not-free' });
    expect([10, 12].map((frame) => world.authority.frame(frame as Pfn).type)).toEqual(['free', 'free']);
    expect([bytesAt(world, 12, 7, 1), world.rights.get(12)]).toEqual([[9], RIGHTS.free]);
  });

  test('takes no module that exports what another exports, at the same time neither', () => {
    const elsewhere = {
      bases: MODULE_AT.bases.map((base) => base + 0x10_0000n),
      frames: [[30], [31], [32]] as unknown as Gfn[][],
    };
    const text = 'module_function is exported already';
    const world = sealed();
    expect(load(world)).toMatchObject({ ok: true });
    expect(load(world, elsewhere)).toMatchObject({ why: 'unresolved', text });
    const racing = sealed();
    const request = racing.authority.load(FILE, MODULE_AT);
    request.next();
    request.next();
    expect(load(racing, elsewhere)).toMatchObject({ ok: true });
    expect(complete(request)).toMatchObject({ why: 'unresolved' });
  });

  test('ends without a trace when what it refers to, or its address, has gone meanwhile', () => {
    const world = sealed();
    const request = world.authority.load(FILE, MODULE_AT);
    request.next();
    request.next();
    // Another processor loads the same module there.
    expect(load(world, { ...MODULE_AT, frames: [[30], [31], [32]] as unknown as Gfn[][] })).toMatchObject({
      ok: true,
    });
    expect(complete(request)).toMatchObject({ why: 'unresolved' });
    expect(world.authority.frame(10 as Pfn).type).toBe('free');
    expect(bytesAt(world, 10, 0, 4)).toEqual([0, 0, 0, 0]);
  });
});

describe('POKE', () => {
  test.each([
    ['a jump label', 0, 1, 0, 0x10, [0xe9, 0x2b, 0, 0, 0]],
    ['a short jump label', 1, 1, 0, 0x18, [0xeb, 0x26]],
    ['a static call', 3, 2, 0, 0x28, [0xe8, 0x53, 0, 0, 0]],
    ['a static call that returns 0', 3, 1, 0, 0x28, [0x2e, 0x2e, 0x2e, 0x31, 0xc0]],
    ['a static jump', 4, 2, 0, 0x30, [0xe9, 0x4b, 0, 0, 0]],
    ['a static jump that returns', 4, 1, 0, 0x30, [0xc3, 0xcc, 0xcc, 0xcc, 0xcc]],
    ['a hook at a function', 5, 1, 0, 0x38, [0xe8, 0x43, 0, 0, 0]],
  ])('puts %s into its state, and back', (_, site, state, frame, offset, bytes) => {
    const world = sealed();
    const before = bytesAt(world, frame, offset, bytes.length);
    expect(poke(world, [site, state])).toMatchObject({ ok: true });
    expect(bytesAt(world, frame, offset, bytes.length)).toEqual(bytes);
    expect(poke(world, [site, 0])).toMatchObject({ ok: true });
    expect(bytesAt(world, frame, offset, bytes.length)).toEqual(before);
  });

  test('writes over the edge of two pages', () => {
    const world = sealed();
    expect(poke(world, [7, 1])).toMatchObject({ ok: true });
    // From 0x1003 to 0x40.
    expect([...bytesAt(world, 0, 0xffe, 2), ...bytesAt(world, 1, 0, 3)]).toEqual([
      0xe9, 0x3d, 0xf0, 0xff, 0xff,
    ]);
  });

  test('does all of a batch or nothing, with every processor stopped', () => {
    const world = sealed();
    world.log.length = 0;
    expect(poke(world, [0, 1], [1, 1], [2, 1])).toMatchObject({ why: 'frozen' });
    expect(bytesAt(world, 0, 0x10, 2)).toEqual([0x0f, 0x1f]);
    expect(poke(world, [0, 1], [0, 0], [1, 1])).toMatchObject({ ok: true });
    expect(bytesAt(world, 0, 0x10, 2)).toEqual([0x0f, 0x1f]);
    expect(world.log).toEqual(['stopped', 'resumed', 'stopped', 'resumed']);
    expect(world.rights.get(0)).toMatchObject({ write: false });
  });

  test.each([
    ['an image that there is not', [0, 1, 9], 'no-such-image'],
    ['a site that there is not', [99, 1], 'no-such-site'],
    ['a state that there is not', [0, 2], 'no-such-state'],
    ['a state between two', [0, 0.5], 'no-such-state'],
    ['a key that the file keeps', [2, 1], 'frozen'],
    ['a target that nothing exports', [3, 4], 'no-such-state'],
  ] as const)('refuses %s', (_, entry, why) => {
    expect(poke(sealed(), [entry[0], entry[1], entry[2] ?? 1])).toMatchObject({ ok: false, why });
  });

  test('takes LOCK away only while one processor runs', () => {
    const world = sealed();
    expect(poke(world, [6, 1])).toMatchObject({ why: 'frozen' });
    world.processors = 1;
    expect(poke(world, [6, 1])).toMatchObject({ ok: true });
    expect(bytesAt(world, 0, 0x50, 1)).toEqual([0x3e]);
    world.processors = 2;
    expect(poke(world, [6, 0])).toMatchObject({ ok: true });
  });

  test('says when a site does not hold what its state says: somebody has written past the owner', () => {
    const world = sealed();
    world.bytes(0)[0x11] = 0x90;
    expect(poke(world, [0, 1])).toMatchObject({ why: 'mismatch' });
  });

  test('takes no more than a page of entries', () => {
    const world = sealed();
    const entries = Array.from({ length: 341 }, () => [0, 1] as const);
    expect(poke(world, ...entries)).toMatchObject({ why: 'malformed' });
    expect(poke(world, ...entries.slice(1))).toMatchObject({ ok: true });
    expect(poke(world)).toMatchObject({ why: 'malformed' });
  });
});

describe('RETIRE and INIT_DONE', () => {
  test('give pages back empty, and no site of theirs is written any more', () => {
    const world = sealed();
    expect(complete(world.authority.initDone(1))).toMatchObject({ ok: true });
    expect([world.authority.frame(4 as Pfn).type, bytesAt(world, 4, 0, 2)]).toEqual(['free', [0, 0]]);
    expect(poke(world, [8, 1])).toMatchObject({ why: 'no-such-site' });
    expect(complete(world.authority.initDone(1))).toMatchObject({ ok: false });
  });

  test('wait for whoever leads into them', () => {
    const world = sealed();
    load(world);
    expect(poke(world, [3, 4])).toMatchObject({ ok: true });
    expect(complete(world.authority.retire(2))).toMatchObject({ why: 'in-use' });
    expect(poke(world, [3, 0])).toMatchObject({ ok: true });
    expect(complete(world.authority.retire(2))).toMatchObject({ ok: true });
    expect(poke(world, [3, 4])).toMatchObject({ why: 'no-such-state' });
    expect(poke(world, [0, 1, 2])).toMatchObject({ why: 'no-such-image' });
    expect(complete(world.authority.retire(1))).toMatchObject({ why: 'in-use' });
  });

  test('a number is never another image’s', () => {
    const world = sealed();
    load(world);
    complete(world.authority.retire(2));
    expect(load(world)).toEqual({ ok: true, value: 3 });
    expect(poke(world, [0, 1, 2])).toMatchObject({ why: 'no-such-image' });
  });
});

test('TRAMP makes a page from a template, with a target that it allows, and the target stays while it is there', () => {
  const world = sealed();
  const base = 0xffff_ffff_c100_0000n;
  const tramp = (target: string) => complete(world.authority.trampoline('ftrace', target, 15 as Gfn, base));
  expect(tramp('g')).toMatchObject({ why: 'no-such-state' });
  expect(tramp('f')).toMatchObject({ ok: true, value: 2 });
  expect(world.authority.frame(15 as Pfn).type).toBe('trampoline');
  // CALL f from 0xffffffffc1000005.
  expect(bytesAt(world, 15, 0, 7)).toEqual([0xe8, 0x7b, 0, 0, 0xc0, 0xc3, 0xcc]);
  expect(complete(world.authority.retire(2))).toMatchObject({ ok: true });
});

test('TRAMP takes no address beyond 64 bits', () => {
  for (const base of [-0x1000n, 1n << 64n, 1n])
    expect(complete(sealed().authority.trampoline('ftrace', 'f', 15 as Gfn, base))).toMatchObject({
      why: 'malformed',
    });
});

test('init parts wait for a trampoline that leads into them', () => {
  const world = sealed();
  const base = 0xffff_ffff_c100_0000n;
  const made = complete(world.authority.trampoline('ftrace', 'init_function', 15 as Gfn, base));
  expect(made).toMatchObject({ ok: true, value: 2 });
  expect(complete(world.authority.initDone(1))).toMatchObject({ why: 'in-use' });
  expect(complete(world.authority.retire(2))).toMatchObject({ ok: true });
  expect(complete(world.authority.initDone(1))).toMatchObject({ ok: true });
});

test('the chain is another after everything that was done, and the same for the same', () => {
  const heads = (world: World): string[] => {
    const seen = [Buffer.from(world.authority.chain).toString('hex')];
    for (const act of [() => load(world), () => poke(world, [0, 1]), () => poke(world, [0, 0])]) {
      act();
      seen.push(Buffer.from(world.authority.chain).toString('hex'));
    }
    return seen;
  };
  const first = heads(sealed());
  expect(new Set(first).size).toBe(4);
  expect(heads(sealed())).toEqual(first);
});

test('in every life, what can be executed is what the signed files and the states say', () => {
  const step = fc.oneof(
    fc.record({
      do: fc.constant('poke' as const),
      image: fc.integer({ min: 1, max: 3 }),
      site: fc.nat(9),
      state: fc.nat(5),
    }),
    fc.record({
      do: fc.constantFrom('load' as const, 'retire' as const, 'init' as const, 'back' as const),
      image: fc.integer({ min: 1, max: 3 }),
    }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 25 }), (steps) => {
      const world = sealed();
      for (const each of steps) {
        if (each.do === 'poke') poke(world, [each.site, each.state, each.image]);
        else if (each.do === 'load') load(world);
        else if (each.do === 'retire') complete(world.authority.retire(each.image));
        else if (each.do === 'init') complete(world.authority.initDone(each.image));
        for (const { id, frames, states } of world.authority.images) {
          const { sites } = id === 1 ? KERNEL : MODULE;
          for (const [index, site] of sites.entries())
            expect(states[index] ?? 0).toBeLessThan(statesOf(site));
          for (const [part, list] of frames.entries()) {
            const expected = world.authority.expected(id, part);
            for (const [at, frame] of list.entries()) {
              if (world.authority.frame(frame).type !== 'text') continue;
              expect(
                Buffer.compare(
                  world.bytes(frame),
                  expected?.subarray(at * 4096, (at + 1) * 4096) ?? Buffer.of(),
                ),
              ).toBe(0);
            }
          }
        }
        for (const [frame, { write, execute }] of world.rights) {
          expect(write && execute).toBe(false);
          if (execute) expect(['text', 'trampoline']).toContain(world.authority.frame(frame as Pfn).type);
        }
      }
    }),
    { numRuns: 60 },
  );
});

test('a checkpoint brings back what the owner keeps', () => {
  const world = sealed();
  const back = world.authority.checkpoint();
  load(world);
  poke(world, [0, 1]);
  complete(world.authority.initDone(1));
  back();
  expect(world.authority.images.map(({ id, states }) => [id, states])).toEqual([[1, STATES]]);
  expect(world.authority.frame(10 as Pfn).type).toBe('free');
  expect(world.authority.frame(4 as Pfn).type).toBe('text');
  // Memory is the host's to bring back.
  for (const frame of [10, 11, 12]) world.bytes(frame).fill(0);
  expect(load(world)).toEqual({ ok: true, value: 2 });
});
