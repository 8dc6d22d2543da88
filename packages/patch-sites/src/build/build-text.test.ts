import { bytesToHex } from '@noble/hashes/utils.js';
import { describe, expect, test } from 'vitest';
import { compareImage, compareModule } from '../compare-image.ts';
import type { ImageAddress, ImageView } from '../image-view.ts';
import { buildKernel, jump, paravirtCall } from '../testing/build-kernel.ts';
import { FEATURE, mitigatedKernel, NAMES, SITES, USER_POINTER_MAX } from '../testing/mitigated-kernel.ts';
import type { BootVector } from './boot-vector.ts';
import { buildText } from './build-text.ts';
import { type BootPolicy, checkBootVector } from './check-boot-vector.ts';
import { FEATURES } from './features.ts';
import { readBootVector } from './read-boot-vector.ts';

const TEXT = { start: -0x7f00_0000, end: SITES.end };

function bits(...set: readonly number[]): number[] {
  const words = new Array<number>(22).fill(0);
  for (const bit of set)
    words[Math.floor(bit / 32)] = ((words[Math.floor(bit / 32)] ?? 0) | (1 << (bit % 32))) >>> 0;
  return words;
}
const VECTOR: BootVector = {
  capabilities: bits(FEATURES.RETPOLINE, FEATURES.RETHUNK),
  returnThunk: 'srso_return_thunk',
  oneProcessor: false,
  pointers: new Map([[NAMES.a_pointer, NAMES.native_write_cr3]]),
  constants: new Map([['USER_PTR_MAX', BigInt(USER_POINTER_MAX)]]),
  calls: new Map([[NAMES.__SCK__call, 0]]),
  sites: new Map(),
};
function bytesAt(image: ImageView, at: ImageAddress, length: number): string {
  return bytesToHex(image.bytes(at, length) ?? new Uint8Array());
}
function built(change: Partial<BootVector>, at: ImageAddress, length: number): string {
  return bytesAt(buildText(mitigatedKernel().image, TEXT, { ...VECTOR, ...change }), at, length);
}
const hex = (...bytes: readonly number[]): string => bytesToHex(Uint8Array.from(bytes));
const withBits = (...set: readonly number[]): Partial<BootVector> => ({ capabilities: bits(...set) });

describe('code that is built from an image and a boot vector', () => {
  test.each([
    ['a thunk, where returns have one', {}, hex(...jump(SITES.returns, NAMES.srso_return_thunk))],
    ['RET, where they have none', withBits(), 'c3cccccccc'],
    [
      'the image’s own thunk',
      { returnThunk: '__x86_return_thunk' },
      hex(...jump(SITES.returns, NAMES.__x86_return_thunk)),
    ],
    [
      'the thunk for ITS in a line’s lower half',
      { returnThunk: 'its_return_thunk' },
      hex(...jump(SITES.returns, NAMES.its_return_thunk)),
    ],
  ])('returns by %s', (_, change, bytes) => {
    expect(built(change, SITES.returns, 5)).toBe(bytes);
  });

  test('has retpolines, or what they stand for: with CS before it, LFENCE, and NOPs behind', () => {
    expect(built({}, SITES.retpoline, 1)).toBe('2e');
    expect(built(withBits(), SITES.retpoline, 6)).toBe('41ffd30f1f00');
    expect(built(withBits(FEATURES.RETPOLINE, FEATURES.RETPOLINE_LFENCE), SITES.retpoline, 6)).toBe(
      '0faee841ffd3',
    );
  });

  test('has the replacement of an alternative where its feature is set, moved, and NOPs behind', () => {
    const distance = SITES.alternative - (TEXT.start + 0xa00);
    expect(built(withBits(FEATURE.first), SITES.alternative, 10)).toBe(
      `8b05${hex(...jump(0, 0x1000 - distance + 5).slice(1))}0f1f4000`,
    );
    expect(built({}, SITES.alternative, 10)).toBe('31c00f1f840000000000');
  });

  test('has that of an inverted one where it is clear', () => {
    expect([built({}, SITES.inverted, 3), built(withBits(FEATURE.first), SITES.inverted, 3)]).toEqual([
      '0f01ca',
      '0f1f00',
    ]);
  });

  test('gives nested alternatives the length of the longest, the last one that holds, and short jumps INT3 behind', () => {
    expect(built(withBits(FEATURE.first, FEATURE.second), SITES.nested, 5)).toBe('eb0ecccccc');
    expect(built(withBits(FEATURE.first), SITES.nested, 3)).toBe('0f01ca');
  });

  test('calls directly what a pointer has', () => {
    expect(built(withBits(FEATURE.first), SITES.directCall, 6)).toBe(
      `${hex(...jump(SITES.directCall, NAMES.native_write_cr3, 0xe8))}90`,
    );
    expect(built({}, SITES.directCall, 2)).toBe('ff15');
  });

  test('has LOCK, or DS on a machine with one processor; NOPs at functions that are not traced; constants', () => {
    expect([built({}, SITES.lock, 2), built({ oneProcessor: true }, SITES.lock, 2)]).toEqual([
      'f0f0',
      '3e3e',
    ]);
    const sites = new Map([[SITES.traced, { calls: NAMES.ftrace_caller }]]);
    expect([built({}, SITES.traced, 5), built({ sites }, SITES.traced, 5)]).toEqual([
      '0f1f440000',
      hex(...jump(SITES.traced, NAMES.ftrace_caller, 0xe8)),
    ]);
    expect(built({}, SITES.constant, 8)).toBe('00f0ffffff7f0000');
    expect(built({ sites: new Map([[SITES.label, 'jumps']]) }, SITES.label, 2)).toBe('eb0e');
    expect(built({}, SITES.tail, 5)).toBe('c3cccccccc');
    const calls = new Map([[NAMES.__SCK__call, NAMES.somebody]]);
    expect(built({ calls }, SITES.tail, 5)).toBe(hex(...jump(SITES.tail, NAMES.somebody)));
  });

  test('leaves the image as it was', () => {
    const { image } = mitigatedKernel();
    const before = bytesAt(image, TEXT.start, 0x1000);
    buildText(image, TEXT, VECTOR);
    expect(bytesAt(image, TEXT.start, 0x1000)).toBe(before);
  });
});

/** A kernel that has booted with a vector. */
function running(vector: BootVector) {
  const kernel = mitigatedKernel();
  const code = buildText(kernel.image, TEXT, vector);
  kernel.write(TEXT.start, ...(code.bytes(TEXT.start, 0x1000) ?? []));
  return kernel;
}

test('a call of what pv_ops has nothing for becomes one of paravirt_BUG, as in Linux', () => {
  const [slot, bug] = [NAMES.a_pointer, NAMES.somebody];
  const site = TEXT.start + 0x40;
  const through = [0xff, 0x14, 0x25, ...new Uint8Array(new Int32Array([slot]).buffer)];
  const { image } = buildKernel({ [0x40]: through }, [paravirtCall(site)], { paravirt_BUG: bug });
  const code = (target: ImageAddress): string =>
    bytesAt(buildText(image, TEXT, { ...VECTOR, pointers: new Map([[slot, target]]) }), site, 5);
  expect(code(0)).toBe(hex(...jump(site, bug, 0xe8)));
  expect(code(NAMES.native_write_cr3)).toBe(hex(...jump(site, NAMES.native_write_cr3, 0xe8)));
});

describe('a running kernel', () => {
  const capabilities = bits(FEATURES.RETHUNK, FEATURES.RETPOLINE, FEATURE.second);
  const kernel = running({ ...VECTOR, capabilities, sites: new Map([[SITES.label, 'jumps']]) });

  test('names the vector that builds it', () => {
    const named = readBootVector(kernel.image, TEXT, capabilities, kernel.live);
    expect(named).toMatchObject({ returnThunk: 'srso_return_thunk', oneProcessor: false });
    expect(named.pointers.get(NAMES.a_pointer)).toBe(NAMES.native_write_cr3);
    const code = buildText(kernel.image, TEXT, named);
    expect(code.bytes(TEXT.start, 0x1000)).toEqual(kernel.live(TEXT.start, 0x1000));
  });

  test.each([
    [
      'a bare return where returns have a thunk',
      SITES.returns,
      [0xc3, 0xcc, 0xcc, 0xcc, 0xcc],
      'return thunk',
    ],
    [
      'an indirect call where a retpoline stays',
      SITES.retpoline,
      [0x41, 0xff, 0xd3, 0x0f, 0x1f, 0x00],
      'retpoline',
    ],
    ['the alternative for a feature that is not there', SITES.inverted, [0x0f, 0x1f, 0x00], 'alternative'],
    ['DS on a machine with other LOCKs', SITES.otherLock, [0x3e], 'smp lock'],
  ] as const)('that has %s is not explained, though Linux writes it elsewhere', (_, at, bytes, kind) => {
    const changed = running({ ...VECTOR, capabilities });
    changed.write(at, ...bytes);
    const unexplained = (known: readonly number[] | undefined): unknown => {
      const found = compareImage(changed.image, { live: changed.live, capabilities: known });
      return typeof found === 'string' ? found : found.text.unexplained.map((run) => run.at);
    };
    expect(unexplained(undefined)).toEqual([]);
    expect(unexplained(capabilities)).toEqual([kind]);
  });
});

test("a module's code must be what the kernel's features decide, too, in the way of the kernel's version", () => {
  const capabilities = bits(FEATURES.RETHUNK, FEATURES.RETPOLINE);
  const module = running({ ...VECTOR, capabilities });
  const sections = [{ ...TEXT, name: '.text', isCode: true }];
  const known = { live: module.live, capabilities, core: mitigatedKernel().image };
  const unexplained = (): unknown =>
    compareModule('driver', module.image, sections, known).unexplained.map((run) => run.at);
  expect(unexplained()).toEqual([]);
  module.write(SITES.returns, 0xc3, 0xcc, 0xcc, 0xcc, 0xcc);
  expect(unexplained()).toEqual(['return thunk']);
});

describe('what a boot vector may not be', () => {
  const hardware = bits(FEATURE.second);
  const policy: BootPolicy = {
    capabilities: bits(FEATURES.RETPOLINE, FEATURES.RETHUNK, FEATURE.second),
    cpuid: new Map(hardware.map((word, index) => [index, word] as const)),
    returnThunks: new Set(['srso_return_thunk']),
    processors: 2,
    paravirt: (name, slot) => slot === NAMES.a_pointer && name !== 'somebody',
    isData: (address) => address < 1n << 63n,
  };
  const { image } = mitigatedKernel();
  const honest: BootVector = { ...VECTOR, capabilities: policy.capabilities };
  const objections = (change: Partial<BootVector>): string[] =>
    checkBootVector(image, TEXT, { ...honest, ...change }, policy).map(
      ({ element, text }) => `${element}: ${text}`,
    );

  function constant(name: string, value: bigint): Map<string, bigint> {
    return new Map([...VECTOR.constants, [name, value]]);
  }

  test('nothing of an honest one', () => {
    expect(objections({})).toEqual([]);
    expect(objections({ capabilities: [...policy.capabilities.slice(0, 21), 0xffff] })).toEqual([]);
  });

  test.each([
    [
      'a mitigation less',
      { capabilities: bits(FEATURES.RETPOLINE, FEATURE.second) },
      '11*32+14 is clear: expected the other',
    ],
    [
      'an invented bit more',
      { capabilities: bits(FEATURES.RETPOLINE, FEATURES.RETHUNK, FEATURE.first, FEATURE.second) },
      '3*32+5 is set: expected the other',
    ],
    [
      'returns without their thunk',
      { returnThunk: '__x86_return_thunk' },
      '__x86_return_thunk: expected srso_return_thunk',
    ],
    ['LOCK dropped on two processors', { oneProcessor: true }, 'the machine has 2 processors'],
    [
      'code of another kind in pv_ops',
      { pointers: new Map([[NAMES.a_pointer, NAMES.somebody]]) },
      'leads to somebody',
    ],
    [
      'a limit of the user’s half that has no end',
      { constants: constant('USER_PTR_MAX', (1n << 64n) - 1n) },
      'USER_PTR_MAX is 0xffffffffffffffff',
    ],
    [
      'a pointer to code',
      { constants: constant('dentry_hashtable', 0xffff_ffff_8100_0000n) },
      'expected an address of data',
    ],
    ['a shift beyond its type', { constants: constant('d_hash_shift', 32n) }, 'expected less than 32'],
    ['a shift below zero', { constants: constant('d_hash_shift', -1n) }, 'expected a number of 64 bits'],
    [
      'a pointer to code, written as a negative number',
      { constants: constant('dentry_hashtable', -0x7f00_0000n) },
      'expected a number of 64 bits',
    ],
    [
      'the end of the user’s half of 5 levels, with 4',
      { constants: constant('USER_PTR_MAX', 0xff_ffff_ffff_f000n) },
      'the end of the user’s half, 0x7ffffffff000',
    ],
    ['a pointer that is left out', { pointers: new Map() }, 'which is not named'],
    ['a constant that is left out', { constants: new Map() }, 'USER_PTR_MAX is not named'],
    ['a static call that is left out', { calls: new Map() }, 'calls: the key of'],
    [
      'a function of pv_ops in another’s place',
      { pointers: new Map([...VECTOR.pointers, [NAMES.a_pointer + 8, NAMES.native_write_cr3]]) },
      'leads to native_write_cr3',
    ],
    [
      'a name that pv_ops may have, on data',
      { pointers: new Map([...VECTOR.pointers, [NAMES.a_pointer, NAMES.USER_PTR_MAX]]) },
      'leads to USER_PTR_MAX',
    ],
    [
      'what only ftrace’s own code calls',
      { sites: new Map([[SITES.traced, { calls: NAMES.ftrace_stub }]]) },
      'calls ftrace_stub: expected a tracer',
    ],
    [
      'a static call into the middle of a function',
      { calls: new Map([[NAMES.__SCK__call, NAMES.somebody + 1]]) },
      'where no function begins',
    ],
    [
      'a tracer of one’s own',
      { sites: new Map([[SITES.traced, { calls: NAMES.somebody }]]) },
      'calls somebody: expected a tracer',
    ],
  ] as const)('%s', (_, change, text) => {
    expect(objections(change)).toEqual([expect.stringContaining(text)]);
  });

  test('a key that is on at one place and off at another', () => {
    const [plain, inverted, other] = [TEXT.start + 0x40, TEXT.start + 0x60, TEXT.start + 0x80];
    const KEY = TEXT.start + 0x20_0100;
    const labels = {
      section: '__jump_table',
      entries(view: DataView, start: ImageAddress) {
        for (const [index, at] of [plain, inverted, other].entries()) {
          const entry = index * 16;
          view.setInt32(entry, at - (start + entry), true);
          view.setInt32(entry + 4, at + 0x10 - (start + entry + 4), true);
          const flags = at === inverted ? 1 : 0;
          const key = at === other ? KEY + 0x40 : KEY;
          view.setBigInt64(entry + 8, BigInt(key - (start + entry + 8) + flags), true);
        }
        return 48;
      },
    };
    const code = Object.fromEntries([0x40, 0x60, 0x80].map((at) => [at, [0x66, 0x90]]));
    const kernel = buildKernel(code, [labels], { __x86_return_thunk: TEXT.start });
    const found = (...jumping: ImageAddress[]): string[] => {
      const sites = new Map(jumping.map((at) => [at, 'jumps'] as const));
      const vector = { ...honest, sites, pointers: new Map(), constants: new Map(), calls: new Map() };
      return checkBootVector(kernel.image, TEXT, vector, policy).map(({ text }) => text);
    };
    expect([found(inverted), found(plain), found(plain, other), found(inverted, other)]).toEqual([
      [],
      [],
      [],
      [],
    ]);
    const contradicted = ['0xffffffff81000060 is as if its key were another than at 0xffffffff81000040'];
    expect([found(), found(plain, inverted)]).toEqual([contradicted, contradicted]);
  });

  test('a bit of CPUID that the VMM does not give, whatever a policy expects', () => {
    const found = checkBootVector(image, TEXT, honest, { ...policy, cpuid: new Map() });
    expect(found.map(({ text }) => text)).toEqual(['9*32+7 is set: the processor does not have it']);
  });
});
