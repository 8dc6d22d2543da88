import { virtualAddress } from '@heki/physical-memory';
import { describe, expect, test } from 'vitest';
import { compareImage, compareModule, type ImageComparison } from './compare-image.ts';
import { readKprobes } from './kprobes.ts';
import {
  buildKernel,
  jump,
  listOf,
  paravirtCall,
  pointerBytes,
  type TinyKernel,
  type TinyTable,
} from './testing/build-kernel.ts';

const TEXT = -0x7f00_0000;
const FUNCTION = TEXT + 0x800;
const OUTSIDE = TEXT - 0x10_0000;
const NOP5 = [0x0f, 0x1f, 0x44, 0, 0];

const NAMES = {
  some_function: FUNCTION,
  __x86_return_thunk: TEXT + 0x900,
  srso_return_thunk: TEXT + 0x920,
  ftrace_caller: TEXT + 0x940,
  __x86_indirect_thunk_rax: TEXT + 0x960,
  __SCT__call: TEXT + 0x980,
  __SCK__call: TEXT + 0x20_0800,
  prepare_kernel_cred: TEXT + 0x9a0,
  __static_call_return0: TEXT + 0x9c8,
  retbleed_return_thunk: TEXT + 0x9d0,
  call_depth_return_thunk: TEXT + 0x9d8,
  its_return_thunk: TEXT + 0x9e0,
  __start_runtime_ptr_USER_PTR_MAX: TEXT,
};
const REPLACEMENT = TEXT + 0xa00;

const JUMP_REPLACEMENT = TEXT + 0xa20;

/** A site of each kind, 32 bytes apart. */
const at = (index: number): number => TEXT + 0x100 + index * 0x20;
const SITES = {
  jumpLabel: at(0),
  shortJumpLabel: at(1),
  staticCall: at(2),
  ftrace: at(3),
  returns: at(4),
  retpoline: at(5),
  seal: at(6),
  lock: at(7),
  alternative: at(8),
  constant: at(9),
  jumping: at(10),
};

const jumpTable: TinyTable = {
  section: '__jump_table',
  entries(view, start) {
    for (const [index, site] of [SITES.jumpLabel, SITES.shortJumpLabel].entries()) {
      const entry = start + index * 16;
      view.setInt32(index * 16, site - entry, true);
      view.setInt32(index * 16 + 4, near(site) - (entry + 4), true);
    }
    return 32;
  },
};
function near(site: number): number {
  return site + 0x40;
}
const staticCalls: TinyTable = {
  section: '.static_call_sites',
  entries(view, start) {
    view.setInt32(0, SITES.staticCall - start, true);
    // Of a tail call: a flag in the lowest bit.
    view.setInt32(4, NAMES.__SCK__call + 1 - (start + 4), true);
    return 8;
  },
};
const mcount: TinyTable = {
  section: '__mcount_loc',
  entries(view) {
    view.setBigInt64(0, BigInt(SITES.ftrace), true);
    return 8;
  },
};
const alternatives: TinyTable = {
  section: '.altinstructions',
  entries(view, start) {
    view.setInt32(0, SITES.alternative - start, true);
    view.setInt32(4, REPLACEMENT - (start + 4), true);
    view.setUint8(12, 8);
    view.setUint8(13, 5);
    view.setInt32(14, SITES.jumping - (start + 14), true);
    view.setInt32(18, JUMP_REPLACEMENT - (start + 18), true);
    view.setUint8(26, 5);
    view.setUint8(27, 5);
    return 28;
  },
};

function kernel(): TinyKernel {
  const offset = (site: number) => site - TEXT;
  return buildKernel(
    {
      [offset(SITES.jumpLabel)]: NOP5,
      [offset(SITES.shortJumpLabel)]: [0x66, 0x90],
      [offset(SITES.staticCall)]: jump(SITES.staticCall, NAMES.__SCT__call, 0xe8),
      [offset(SITES.ftrace)]: jump(SITES.ftrace, TEXT + 0x9c0, 0xe8),
      [offset(SITES.returns)]: jump(SITES.returns, NAMES.__x86_return_thunk),
      [offset(SITES.retpoline)]: jump(SITES.retpoline, NAMES.__x86_indirect_thunk_rax, 0xe8),
      [offset(SITES.seal)]: [0xf3, 0x0f, 0x1e, 0xfa],
      [offset(SITES.lock)]: [0xf0, 0xff, 0x00],
      [offset(SITES.alternative)]: [0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90],
      [offset(SITES.constant)]: [0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01],
      [offset(SITES.jumping)]: [0x90, 0x90, 0x90, 0x90, 0x90],
      [offset(JUMP_REPLACEMENT)]: jump(JUMP_REPLACEMENT, near(SITES.jumping)),
      [offset(REPLACEMENT)]: jump(REPLACEMENT, FUNCTION, 0xe8),
    },
    [
      jumpTable,
      staticCalls,
      mcount,
      alternatives,
      listOf('.return_sites', SITES.returns),
      listOf('.retpoline_sites', SITES.retpoline),
      listOf('.ibt_endbr_seal', SITES.seal),
      listOf('.smp_locks', SITES.lock),
      listOf('runtime_ptr_USER_PTR_MAX', SITES.constant),
    ],
    NAMES,
    { 2048: FUNCTION },
  );
}

function compared(
  one: TinyKernel,
  probes: Parameters<typeof compareImage>[1]['probes'] = [],
): ImageComparison {
  const found = compareImage(one.image, { live: one.live, probes });
  if (typeof found === 'string') throw new Error(found);
  return found;
}

/** How a kernel differs at `site` after `bytes` are written there. */
function after(site: number, bytes: readonly number[]) {
  const one = kernel();
  one.write(site, ...bytes);
  const { text } = compared(one);
  return {
    explained: [...text.explained.keys()],
    unexplained: text.unexplained.map((run) => run.at ?? 'nowhere'),
  };
}

describe('what Linux writes at a site explains it', () => {
  test.each([
    ['jump label', SITES.jumpLabel, jump(SITES.jumpLabel, near(SITES.jumpLabel))],
    ['jump label', SITES.shortJumpLabel, [0xeb, 0x3e]],
    ['static call', SITES.staticCall, jump(SITES.staticCall, FUNCTION, 0xe8)],
    ['static call', NAMES.__SCT__call, jump(NAMES.__SCT__call, FUNCTION)],
    ['ftrace', SITES.ftrace, NOP5],
    ['ftrace', SITES.ftrace, jump(SITES.ftrace, NAMES.ftrace_caller, 0xe8)],
    ['return thunk', SITES.returns, [0xc3, 0xcc, 0xcc, 0xcc, 0xcc]],
    ['return thunk', SITES.returns, jump(SITES.returns, NAMES.srso_return_thunk)],
    ['return thunk', SITES.returns, jump(SITES.returns, NAMES.retbleed_return_thunk)],
    ['return thunk', SITES.returns, jump(SITES.returns, NAMES.call_depth_return_thunk)],
    ['return thunk', SITES.returns, jump(SITES.returns, NAMES.its_return_thunk)],
    ['retpoline', SITES.retpoline, [0xff, 0xe0, 0xcc, 0x66, 0x90]],
    ['retpoline', SITES.retpoline, [0xff, 0xd0, 0x0f, 0x1f, 0x00]],
    ['retpoline', SITES.retpoline, [0x0f, 0xae, 0xe8, 0xff, 0xd0]],
    ['endbr seal', SITES.seal, [0x66, 0x0f, 0x1f, 0x00]],
    ['smp lock', SITES.lock, [0x3e]],
    ['alternative', SITES.alternative, [...jump(SITES.alternative, FUNCTION, 0xe8), 0x0f, 0x1f, 0x00]],
    ['alternative', SITES.alternative, [0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0]],
    ['alternative', SITES.alternative, [0xeb, 0x06, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc]],
    ['alternative', SITES.jumping, [0xeb, 0x3e, 0xcc, 0xcc, 0xcc]],
    ['alternative', SITES.jumping, [0xeb, 0x3e, 0x0f, 0x1f, 0x00]],
    ['runtime constant', SITES.constant, [0x00, 0xf0, 0xff, 0xff, 0xff, 0x7f, 0, 0]],
  ])('%s', (kind, site, bytes) => {
    expect(after(site, bytes)).toEqual({ explained: [kind], unexplained: [] });
  });
});

describe('what Linux never writes there does not', () => {
  test.each([
    ['jump label', SITES.jumpLabel, jump(SITES.jumpLabel, FUNCTION)],
    ['jump label', SITES.shortJumpLabel, [0xeb, 0x10]],
    ['jump label', SITES.jumpLabel, [0xcc, 0xcc, 0xcc, 0xcc, 0xcc]],
    ['ftrace', SITES.ftrace, [0x90, 0xcc, 0xcc, 0xcc, 0xcc]],
    ['static call', SITES.staticCall, jump(SITES.staticCall, NAMES.prepare_kernel_cred, 0xe8)],
    ['static call', SITES.staticCall, jump(SITES.staticCall, OUTSIDE, 0xe8)],
    ['static call', SITES.staticCall, [0x66, 0x66, 0x48, 0x31, 0xc0]],
    ['static call', SITES.staticCall, NOP5],
    ['static call', NAMES.__SCT__call, jump(NAMES.__SCT__call, NAMES.prepare_kernel_cred)],
    ['return thunk', SITES.returns, jump(SITES.returns, OUTSIDE)],
    ['retpoline', SITES.retpoline, [0xff, 0xd0, 0xcc, 0x66, 0x90]],
    ['static call', SITES.staticCall, jump(SITES.staticCall, FUNCTION + 7, 0xe8)],
    ['ftrace', SITES.ftrace, jump(SITES.ftrace, FUNCTION, 0xe8)],
    ['ftrace', SITES.ftrace, jump(SITES.ftrace, OUTSIDE)],
    ['ftrace', SITES.ftrace, jump(SITES.ftrace, OUTSIDE, 0xe8)],
    ['retpoline', SITES.retpoline, [0xff, 0xd3, 0x0f, 0x1f, 0x00]],
    ['retpoline', SITES.retpoline, [0x41, 0xff, 0xd0, 0x66, 0x90]],
    ['retpoline', SITES.retpoline, jump(SITES.retpoline, OUTSIDE, 0xe8)],
    ['alternative', SITES.alternative, [...jump(SITES.alternative, TEXT + 0x900, 0xe8), 0x0f, 0x1f, 0x00]],
    ['alternative', SITES.alternative, [0xff, 0xd0, 0x66, 0x90, 0x66, 0x90, 0x66, 0x90]],
    ['return thunk', SITES.returns, jump(SITES.returns, FUNCTION)],
    ['return thunk', SITES.returns, [0xc3, 0x31, 0xc0, 0xc3, 0xcc]],
    ['retpoline', SITES.retpoline, jump(SITES.retpoline, FUNCTION, 0xe8)],
    ['endbr seal', SITES.seal, [0x31, 0xc0, 0xc3, 0x90]],
    ['smp lock', SITES.lock, [0x90]],
    ['alternative', SITES.alternative, [...jump(SITES.alternative, FUNCTION), 0x0f, 0x1f, 0x00]],
    ['alternative', SITES.jumping, [0xcc, 0xcc, 0xcc, 0xcc, 0xcc]],
    ['runtime constant', SITES.constant, [0, 0, 0, 0, 0, 0, 0, 0]],
    ['nowhere', TEXT + 0x40, [0x90]],
    ['nowhere', SITES.lock + 1, [0xeb]],
  ])('%s', (kind, site, bytes) => {
    const { unexplained } = after(site, bytes);
    expect(new Set(unexplained)).toEqual(new Set([kind]));
  });
});

test('a sound kernel does not differ, and all of it was compared', () => {
  const { text, constants } = compared(kernel());
  expect(text).toMatchObject({ compared: 4096, differing: 0, unexplained: [] });
  expect(constants).toMatchObject({ compared: 4096, differing: 0, unexplained: [] });
});

describe('a static call that the key in memory leads elsewhere is explained, and told', () => {
  test.each([
    [
      'prepare_kernel_cred',
      NAMES.prepare_kernel_cred,
      jump(SITES.staticCall, NAMES.prepare_kernel_cred, 0xe8),
    ],
    ['__static_call_return0', NAMES.__static_call_return0, [0x66, 0x66, 0x48, 0x31, 0xc0]],
    ['nothing', 0, NOP5],
    [undefined, OUTSIDE, jump(SITES.staticCall, OUTSIDE, 0xe8)],
  ])('%s', (leadsTo, func, bytes) => {
    const one = kernel();
    one.write(NAMES.__SCK__call, ...pointerBytes(func));
    one.write(SITES.staticCall, ...bytes);
    const { text } = compared(one);
    expect(text.unexplained).toEqual([]);
    expect(text.updatedStaticCalls).toEqual([{ name: 'call', leadsTo }]);
  });

  test('not where the image leads it there, too', () => {
    const one = kernel();
    one.write(SITES.staticCall, ...jump(SITES.staticCall, FUNCTION, 0xe8));
    expect(compared(one).text.updatedStaticCalls).toEqual([]);
  });

  test('and where the dump lacks the key, told as well', () => {
    const one = kernel();
    one.write(SITES.staticCall, ...jump(SITES.staticCall, FUNCTION, 0xe8));
    const live = (where: number, length: number) =>
      where >= one.rodata ? undefined : one.live(where, length);
    const found = compareImage(one.image, { live });
    expect(found).toMatchObject({
      text: { unexplained: [], updatedStaticCalls: [{ name: 'call', leadsTo: 'some_function' }] },
    });
  });
});

test('constants differ but for those that the kernel writes before it seals them', () => {
  const one = kernel();
  one.write(one.rodata + 0x800, 1, 2, 3);
  one.write(one.rodata + 0x10, 4, 5);
  one.write(one.rodata + 0x14, 6);
  const { constants } = compared(one);
  expect(constants?.explained.get('written at boot')).toBe(3);
  // What lies so near is one change.
  expect(constants?.unexplained).toEqual([
    { start: one.rodata + 0x10, end: one.rodata + 0x15, at: undefined, value: '0405000006000000' },
  ]);
});

test('a pointer into the image has one value in every boot, and another pointer another', () => {
  const valueAfter = (by: number): string | undefined => {
    const one = kernel();
    one.write(one.rodata + 0x10, ...pointerBytes(FUNCTION + by));
    return compared(one).constants?.unexplained[0]?.value;
  };
  // As far from the constants, whatever KASLR does.
  expect(valueAfter(0)).toBe(
    [...pointerBytes(FUNCTION - kernel().rodata)].map((byte) => byte.toString(16).padStart(2, '0')).join(''),
  );
  expect(valueAfter(8)).not.toBe(valueAfter(0));
});

describe('a call of ftrace out of the image is explained', () => {
  const traced = (options: Partial<Parameters<typeof compareImage>[1]>) => {
    const one = kernel();
    one.write(SITES.ftrace, ...jump(SITES.ftrace, OUTSIDE, 0xe8));
    const found = compareImage(one.image, { live: one.live, ...options });
    if (typeof found === 'string') throw new Error(found);
    const { unexplained, traced: sites, tracedByBpf } = found.text;
    return { unexplained: unexplained.length, traced: sites.length, tracedByBpf };
  };
  const one = kernel();
  const withCopy = (change: number) => (where: number, length: number) =>
    where === OUTSIDE
      ? one.live(NAMES.ftrace_caller, length)?.map((byte, index) => (index === 3 ? byte + change : byte))
      : where === SITES.ftrace || (where <= SITES.ftrace && where + length > SITES.ftrace)
        ? tracing.live(where, length)
        : one.live(where, length);
  const tracing = kernel();
  tracing.write(SITES.ftrace, ...jump(SITES.ftrace, OUTSIDE, 0xe8));
  test('where a copy of a caller of ftrace stands', () => {
    expect(traced({ live: withCopy(0) })).toEqual({ unexplained: 0, traced: 1, tracedByBpf: 0 });
    expect(traced({ live: withCopy(1) })).toEqual({ unexplained: 1, traced: 0, tracedByBpf: 0 });
  });

  test('where eBPF has code, by the guest', () => {
    const bpf = [{ start: OUTSIDE, end: OUTSIDE + 64 }];
    expect(traced({ bpf })).toEqual({ unexplained: 0, traced: 1, tracedByBpf: 1 });
    expect(traced({ bpf: [{ start: OUTSIDE + 1, end: OUTSIDE + 64 }] })).toMatchObject({ unexplained: 1 });
  });
});

test("a module's sections are compared like the kernel's, with its own tables", () => {
  const one = kernel();
  one.write(SITES.ftrace, ...NOP5);
  one.write(TEXT + 0x40, 0x90);
  one.write(one.rodata + 0x10, 1);
  const sections = [
    { name: '.text', start: TEXT, end: TEXT + 4096, isCode: true },
    { name: '.rodata', start: one.rodata, end: one.rodata + 0x800, isCode: false },
  ];
  const found = compareModule('own', one.image, sections, { live: one.live });
  expect(found).toMatchObject({ name: 'own', compared: 4096 + 0x800 });
  expect(found.unexplained.map(({ section, start, isCode }) => [section.name, start, isCode])).toEqual([
    ['.text', TEXT + 0x40, true],
    ['.rodata', one.rodata + 0x10, false],
  ]);
});

test('a jump label has to be as its key says', () => {
  const key = TEXT + 0x20_0400;
  const table: TinyTable = {
    section: '__jump_table',
    entries(view, start) {
      view.setInt32(0, SITES.jumpLabel - start, true);
      view.setInt32(4, near(SITES.jumpLabel) - (start + 4), true);
      view.setBigInt64(8, BigInt(key - (start + 8)), true);
      return 16;
    },
  };
  const count = (enabled: number, bytes: readonly number[]): number => {
    const one = buildKernel({ [SITES.jumpLabel - TEXT]: NOP5 }, [table]);
    one.write(key, enabled & 0xff);
    one.write(SITES.jumpLabel, ...bytes);
    return compared(one).text.unexplained.length;
  };
  const jumping = jump(SITES.jumpLabel, near(SITES.jumpLabel));
  expect([count(0, NOP5), count(1, jumping), count(1, NOP5), count(0, jumping)]).toEqual([0, 0, 1, 1]);
});

test('a call through pv_ops may have become one of what pv_ops holds, and of nothing else', () => {
  const slot = TEXT + 0x20_0400;
  const site = SITES.lock;
  const offset = site - TEXT;
  const through = [0xff, 0x14, 0x25, ...new Uint8Array(new Int32Array([slot]).buffer)];
  const count = (target: number): number => {
    const one = buildKernel({ [offset]: through }, [paravirtCall(site)], NAMES, { 1024: FUNCTION });
    one.write(site, ...jump(site, target, 0xe8), 0x66, 0x90);
    return compared(one).text.unexplained.length;
  };
  expect([count(FUNCTION), count(NAMES.prepare_kernel_cred)]).toEqual([0, 1]);
});

test('what the dump lacks is counted as not compared', () => {
  const one = kernel();
  const found = compareImage(one.image, {
    live: (where, length) => (where < one.rodata ? undefined : one.live(where, length)),
  });
  expect(found).toMatchObject({ text: { compared: 0, differing: 0 }, constants: { compared: 4096 } });
});

test('a kprobe explains its INT3 and its jump out of the image, no more', () => {
  const site = TEXT + 0x60;
  const probes = [{ kind: 'kprobe', at: site, size: 5 }] as const;
  const kinds = (bytes: readonly number[]) => {
    const one = buildKernel({ 96: [0x55, 0x48, 0x89, 0xe5, 0x90] }, []);
    one.write(site, ...bytes);
    const { unexplained, probed } = compared(one, [...probes, ...probes]).text;
    // Registered is told, whatever is there, and once.
    expect(probed).toEqual([site]);
    return unexplained.length;
  };
  expect(kinds([0xcc])).toBe(0);
  expect(kinds(jump(site, OUTSIDE))).toBe(0);
  expect(kinds(jump(site, FUNCTION))).toBe(1);
  expect(kinds([0xcc, 0x31, 0xc0, 0xc3])).toBe(1);
});

test('the list of kprobes is read out of memory, and one in a circle ends', () => {
  const table = 0xffff_ffff_9000_0000n;
  const node = 0xffff_8880_0000_1000n;
  const words = new Map<bigint, bigint>([
    [table + 8n, node],
    [node + 40n, 0xffff_ffff_8100_0060n],
    [node, node],
  ]);
  const read = (address: bigint) => {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, words.get(address) ?? 0n, true);
    return bytes;
  };
  const probes = readKprobes(read, virtualAddress(table));
  expect(probes[0]).toEqual({ kind: 'kprobe', at: TEXT + 0x60, size: 5 });
  expect(probes.length).toBeLessThanOrEqual(65_536);
});
