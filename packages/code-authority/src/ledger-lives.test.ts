import { type Gfn, PAGE_SIZE, type Pfn } from '@heki/physical-memory';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Answer, Request } from './answer.ts';
import { RIGHTS } from './frames/frame-type.ts';
import { typeOfPart } from './requests/seal.ts';
import { FILE, KERNEL, MODULE, sealed, type World } from './testing/world.ts';

/** Frames of the guest that are none of the kernel's. */
const FREE = [10, 11, 12, 13, 14, 15, 40] as const;
const PROGRAM = 21;
const BASES = [0xffff_ffff_c000_0000n, 0xffff_ffff_c000_1000n, 0xffff_ffff_c000_8000n] as const;
/** A frame and an end; a constant of which nothing is blinded. */
const PROGRAMS = [
  [0x55, 0x48, 0x89, 0xe5, 0x31, 0xc0, 0xc9, 0xc3],
  [0x55, 0x48, 0x89, 0xe5, 0xb8, 1, 2, 3, 4, 0xc9, 0xc3],
] as const;

interface Step {
  readonly kind:
    | 'load'
    | 'poke'
    | 'retire'
    | 'init'
    | 'trampoline'
    | 'pack'
    | 'add'
    | 'remove'
    | 'write'
    | 'go on';
  readonly a: number;
  readonly b: number;
  readonly c: number;
}

const steps = fc.array(
  fc.record({
    kind: fc.constantFrom<Step['kind'][]>(
      ...(['load', 'load', 'poke', 'poke', 'retire', 'init', 'trampoline', 'pack', 'add', 'remove'] as const),
      ...(['write', 'go on', 'go on', 'go on', 'go on', 'go on', 'go on', 'go on', 'go on'] as const),
    ),
    a: fc.nat(7),
    b: fc.nat(6),
    c: fc.nat(4),
  }),
  { minLength: 20, maxLength: 80, size: 'max' },
);

/** Begins what a step asks for; nothing for what the guest does itself. */
function begin(world: World, { kind, a, b, c }: Step): Request<number | undefined> | Answer | undefined {
  const { authority } = world;
  const frame = (index: number) => (FREE[index % FREE.length] ?? 10) as Gfn;
  const base = BASES[c % BASES.length] ?? 0n;
  const { images } = authority;
  // Sometimes one that is gone, or never was.
  const someImage = (index: number): number => (index === 7 ? 2 : (images[index % images.length]?.id ?? 0));
  const somePack = images.find(({ name }) => name.startsWith('pack'))?.id ?? 2;
  switch (kind) {
    case 'load':
      return authority.load(FILE, {
        bases: [base, base + (b === 0 ? 0n : 0x1000n), base + 0x2000n],
        frames: [[frame(a)], [frame(a + 1)], [frame(a + 2 - (b % 2) * (c % 2))]],
      });
    case 'poke':
      return authority.poke(
        [
          { image: a < 5 ? 1 : someImage(a), site: b, state: c },
          { image: 1, site: c % 2, state: a % 2 },
        ].slice(0, 1 + (b % 2)),
      );
    case 'retire':
      return authority.retire(someImage(a));
    case 'init':
      return authority.initDone(1 + (a % 4));
    case 'trampoline':
      return authority.trampoline('ftrace', c % 2 === 0 ? 'f' : 'init_function', frame(a), base + 0x4000n);
    case 'pack':
      return authority.makePack([frame(a)], base + 0x4000n);
    case 'add':
      world.bytes(PROGRAM).set(PROGRAMS[c % 2] ?? []);
      return authority.addProgram(
        { pack: somePack, slot: b },
        { pages: [PROGRAM as Gfn], length: PROGRAMS[c % 2]?.length ?? 0 },
      );
    case 'remove':
      return authority.removeProgram({ pack: somePack, slot: b });
    default:
      return undefined;
  }
}

/** Everything that must hold, said page by page and name by name, by who knows no more of the owner than its images. */
function check({ authority, rights, bytes }: World, underWay: number): void {
  const owned = new Map<number, readonly [type: string, image: number]>();
  const live = authority.images;
  for (const { id, name, frames } of live) {
    const expected = frames.map((_, part) => authority.expected(id, part));
    for (const [part, list] of frames.entries()) {
      const { kind = 'text' } = (name === 'kernel' ? KERNEL : MODULE).parts[part] ?? {};
      const made = name.startsWith('trampoline')
        ? 'trampoline'
        : name.startsWith('pack')
          ? 'jit'
          : typeOfPart(kind);
      for (const [page, frame] of list.entries()) {
        if (owned.has(frame)) expect.fail(`frame ${frame} is two images'`);
        owned.set(frame, [made, id]);
        // What is not data is what the owner makes of the signed file, at every byte.
        const whole = expected[part]?.subarray(page * PAGE_SIZE, (page + 1) * PAGE_SIZE);
        if (made !== 'data' && Buffer.compare(bytes(frame), whole ?? bytes(63)) !== 0)
          expect.fail(`${name}, part ${part}: frame ${frame} holds other bytes`);
      }
    }
  }
  for (let frame = 0; frame < 64; frame++) {
    const { type, image } = authority.frame(frame as Pfn);
    const owner = owned.get(frame);
    if (owner !== undefined) {
      if (type !== owner[0] || image !== owner[1]) expect([frame, type, image]).toEqual([frame, ...owner]);
    }
    // Who has a page that is no image's is a request that is under way.
    else if (type !== 'free') {
      expect(underWay, `frame ${frame}: ${type}`).toBeGreaterThan(0);
      expect(['staged', 'retired']).toContain(type);
    }
    const allowed = rights.get(frame);
    if (allowed !== undefined) expect(allowed).toBe(RIGHTS[type]);
    if (type === 'staged' || type === 'retired')
      expect(allowed).toEqual({ read: false, write: false, execute: false });
  }
  // What a trampoline or a module leads to is there: the kernel's `f`, or its init text until that is given back.
  const initIsThere = (live[0]?.frames[3]?.length ?? 0) > 0;
  if (live.some(({ name }) => name.endsWith('to init_function'))) expect(initIsThere).toBe(true);
  const module = live.some(({ name }) => name === 'module');
  // The call site's state 4 leads to the module.
  if (live[0]?.states[3] === 4) expect(module).toBe(true);
  expect(live.filter(({ name }) => name === 'module').length).toBeLessThanOrEqual(1);
}

test('over random lives with two requests under way every page has one owner, the type of its part, its rights and its bytes', () => {
  const done = new Map<string, number>();
  fc.assert(
    fc.property(steps, (life) => {
      const world = sealed();
      const requests: ({ readonly kind: string; readonly steps: Request<number | undefined> } | undefined)[] =
        [undefined, undefined];
      for (const step of life) {
        const slot = step.c % 2;
        const request = requests[slot];
        if (step.kind === 'write') {
          const frame = FREE[step.a % 6] ?? 10;
          if (world.authority.frame(frame as Pfn).type === 'free')
            world.bytes(frame).fill(step.b % 2, 0x300, 0x304);
        } else if (step.kind === 'go on' && request !== undefined) {
          const { done: isDone, value } = request.steps.next();
          if (isDone === true) {
            requests[slot] = undefined;
            if (value.ok) done.set(request.kind, (done.get(request.kind) ?? 0) + 1);
          }
        } else if (request === undefined) {
          const begun = begin(world, step);
          if (begun !== undefined && 'next' in begun) {
            const first = begun.next();
            if (first.done !== true) requests[slot] = { kind: step.kind, steps: begun };
            else if (first.value.ok) done.set(step.kind, (done.get(step.kind) ?? 0) + 1);
          } else if (begun?.ok === true) done.set(step.kind, (done.get(step.kind) ?? 0) + 1);
        }
        check(world, requests.filter((one) => one !== undefined).length);
      }
    }),
    { numRuns: 30, seed: 19 },
  );
  // Lives in which nothing is granted would show nothing.
  for (const kind of ['load', 'poke', 'retire', 'init', 'trampoline', 'pack', 'add'])
    expect(done.get(kind) ?? 0, kind).toBeGreaterThan(2);
});
