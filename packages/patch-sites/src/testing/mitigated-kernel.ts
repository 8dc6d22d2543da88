import { buildKernel, jump, listOf, type TinyKernel, type TinyTable } from './build-kernel.ts';

const TEXT = -0x7f00_0000;
const DATA = TEXT + 0x20_0000;
const NOP = 0x90;
/** The last page of the user's half: USER_PTR_MAX. */
export const USER_POINTER_MAX = 0x7fff_ffff_f000;

/** Where sites of a kernel lie that has one of each kind that a processor's features decide. */
export const SITES = {
  returns: TEXT + 0x100,
  retpoline: TEXT + 0x120,
  lock: TEXT + 0x140,
  otherLock: TEXT + 0x141,
  alternative: TEXT + 0x160,
  inverted: TEXT + 0x180,
  nested: TEXT + 0x1a0,
  directCall: TEXT + 0x1c0,
  label: TEXT + 0x1e0,
  traced: TEXT + 0x200,
  constant: TEXT + 0x220,
  tail: TEXT + 0x240,
  end: TEXT + 0x1000,
} as const;

/** Features of the kernel's alternatives, beside those that Linux has for returns and retpolines. */
export const FEATURE = { first: 3 * 32 + 5, second: 9 * 32 + 7 } as const;

/** Addresses of symbols. */
export const NAMES = {
  __x86_return_thunk: TEXT + 0x900,
  srso_return_thunk: TEXT + 0x920,
  its_return_thunk: TEXT + 0x930,
  ftrace_caller: TEXT + 0x940,
  __x86_indirect_thunk_r11: TEXT + 0x960,
  native_write_cr3: TEXT + 0x980,
  somebody: TEXT + 0x9a0,
  ftrace_stub: TEXT + 0x9c0,
  // The function that is traced: not each that is called so is ftrace's own caller.
  ftrace_set_something: TEXT + 0x200,
  x86_return_thunk: DATA + 0x10,
  a_pointer: DATA + 0x18,
  USER_PTR_MAX: DATA + 0x20,
  __SCK__call: DATA + 0x28,
  __start_runtime_ptr_USER_PTR_MAX: TEXT,
} as const;

const REPLACEMENTS = TEXT + 0xa00;
/** 16 bytes for each. */
const CODES: readonly (readonly number[])[] = [
  // mov 0x1000(%rip), %eax: what is relative is moved.
  [0x8b, 0x05, 0x00, 0x10, 0x00, 0x00],
  [0x0f, 0x01, 0xca],
  // A jump, as far as the next site.
  [0xe9, ...int32(SITES.nested + 0x10 - (REPLACEMENTS + 0x20 + 5))],
  [0xff, 0x15, 0, 0, 0, 0],
];

interface Entry {
  readonly at: number;
  readonly code: number;
  readonly feature: number;
  readonly flags: number;
  readonly size: number;
}
const ENTRIES: readonly Entry[] = [
  { at: SITES.alternative, code: 0, feature: FEATURE.first, flags: 0, size: 10 },
  { at: SITES.inverted, code: 1, feature: FEATURE.first, flags: 1, size: 3 },
  { at: SITES.nested, code: 1, feature: FEATURE.first, flags: 0, size: 3 },
  { at: SITES.nested, code: 2, feature: FEATURE.second, flags: 0, size: 5 },
  { at: SITES.directCall, code: 3, feature: FEATURE.first, flags: 2, size: 6 },
];
const alternatives: TinyTable = {
  section: '.altinstructions',
  entries(view, start) {
    for (const [index, { at, code, feature, flags, size }] of ENTRIES.entries()) {
      const entry = index * 14;
      view.setInt32(entry, at - (start + entry), true);
      view.setInt32(entry + 4, REPLACEMENTS + code * 16 - (start + entry + 4), true);
      view.setUint16(entry + 8, feature, true);
      view.setUint16(entry + 10, flags, true);
      view.setUint8(entry + 12, size);
      view.setUint8(entry + 13, CODES[code]?.length ?? 0);
    }
    return ENTRIES.length * 14;
  },
};
const labels: TinyTable = {
  section: '__jump_table',
  entries(view, start) {
    view.setInt32(0, SITES.label - start, true);
    view.setInt32(4, SITES.label + 0x10 - (start + 4), true);
    return 16;
  },
};
const tracing: TinyTable = {
  section: '__mcount_loc',
  entries(view) {
    view.setBigInt64(0, BigInt(SITES.traced), true);
    return 8;
  },
};
const calls: TinyTable = {
  section: '.static_call_sites',
  entries(view, start) {
    view.setInt32(0, SITES.tail - start, true);
    view.setInt32(4, NAMES.__SCK__call - (start + 4), true);
    return 8;
  },
};

/** A kernel as its image has it, before boot has patched anything. */
export function mitigatedKernel(): TinyKernel {
  const offset = (at: number): number => at - TEXT;
  const code: Record<number, readonly number[]> = {
    [offset(SITES.returns)]: jump(SITES.returns, NAMES.__x86_return_thunk),
    [offset(SITES.retpoline)]: [0x2e, 0xe8, ...int32(NAMES.__x86_indirect_thunk_r11 - (SITES.retpoline + 6))],
    [offset(SITES.lock)]: [0xf0, 0xf0],
    [offset(SITES.alternative)]: [0x31, 0xc0, ...Array(8).fill(NOP)],
    [offset(SITES.inverted)]: [NOP, NOP, NOP],
    [offset(SITES.nested)]: [NOP, NOP, NOP, 0xcc, 0xcc],
    [offset(SITES.directCall)]: [0xff, 0x15, ...int32(NAMES.a_pointer - (SITES.directCall + 6))],
    [offset(SITES.label)]: [0x66, 0x90],
    [offset(SITES.traced)]: jump(SITES.traced, NAMES.somebody, 0xe8),
    [offset(SITES.tail)]: jump(SITES.tail, NAMES.somebody),
  };
  for (const [index, bytes] of CODES.entries()) code[offset(REPLACEMENTS) + index * 16] = bytes;
  return buildKernel(
    code,
    [
      alternatives,
      labels,
      tracing,
      calls,
      listOf('.return_sites', SITES.returns),
      listOf('.retpoline_sites', SITES.retpoline),
      listOf('.smp_locks', SITES.lock, SITES.otherLock),
      listOf('runtime_ptr_USER_PTR_MAX', SITES.constant),
    ],
    NAMES,
    { 16: NAMES.srso_return_thunk, 24: NAMES.native_write_cr3, 32: USER_POINTER_MAX },
  );
}

function int32(value: number): number[] {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, value, true);
  return [...bytes];
}
