import { complete, createCodeAuthority } from '@heki/code-authority';
import {
  type BootVector,
  buildText,
  createImageView,
  type ImageSymbols,
  type ImageView,
  imageVirtualAddress,
} from '@heki/patch-sites';
import { createRam, type Gfn, type Pfn } from '@heki/physical-memory';
import { describe, expect, it } from 'vitest';
import { packagedKernel } from './packaged-kernel.ts';

const TEXT = -0x7f00_0000;
const TABLES = TEXT + 0x10_0000;
const PAGE = 4096;
const AT = {
  label: 0x10,
  call: 0x20,
  none: 0x30,
  tail: 0x40,
  function: 0x50,
  returns: 0x60,
  constant: 0x80,
  target: 0x100,
};
const NAMES: Readonly<Record<string, number>> = {
  __x86_return_thunk: TEXT + 0x900,
  srso_return_thunk: TEXT + 0x920,
  ftrace_caller: TEXT + 0x940,
  ftrace_regs_caller: TEXT + 0x960,
  a_function: TEXT + AT.target,
  tracing: TABLES + 0x800,
  __SCK__call: TABLES + 0x810,
  __SCK__none: TABLES + 0x820,
  __start_runtime_ptr_USER_PTR_MAX: TABLES + 0x60,
  __start_runtime_ptr_dentry_hashtable: TABLES + 0x64,
};
const RETHUNK = { word: 11, bit: 14 };
const NOP5 = [0x0f, 0x1f, 0x44, 0x00, 0x00];

function int32(value: number): number[] {
  return [0, 8, 16, 24].map((shift) => (value >> shift) & 255);
}
const branch = (opcode: number, from: number, to: number): number[] => [opcode, ...int32(to - from - 5)];

/** A page of a kernel with a site of each kind, and its tables. */
function tinyImage(): ImageView {
  const text = new Uint8Array(PAGE).fill(0xcc);
  text.set(NOP5, AT.label);
  for (const at of [AT.call, AT.none, AT.function]) text.set(branch(0xe8, at, 0x900), at);
  for (const at of [AT.tail, AT.returns]) text.set(branch(0xe9, at, 0x900), at);
  const tables = new Uint8Array(PAGE);
  const view = new DataView(tables.buffer);
  const relative = (at: number, to: number): void => view.setInt32(at, to - (TABLES + at), true);
  relative(0, TEXT + AT.label);
  relative(4, TEXT + AT.target);
  view.setBigInt64(8, BigInt(0x800 - 8), true);
  for (const [index, [site, key]] of [
    [AT.call, NAMES.__SCK__call],
    [AT.none, NAMES.__SCK__none],
    [AT.tail, NAMES.__SCK__none],
  ].entries()) {
    relative(0x20 + index * 8, TEXT + (site ?? 0));
    relative(0x24 + index * 8, key ?? 0);
  }
  view.setBigInt64(0x40, BigInt(TEXT + AT.function), true);
  relative(0x50, TEXT + AT.returns);
  relative(0x60, TEXT + AT.constant);
  relative(0x64, TEXT + AT.constant + 0x10);
  const section = (name: string, at: number, size: number) => ({
    name,
    address: imageVirtualAddress(TABLES + at),
    size,
  });
  const symbols: ImageSymbols = {
    named: (name) => NAMES[name],
    at: (address) => Object.keys(NAMES).filter((name) => NAMES[name] === address),
    withPrefix: (prefix) => Object.entries(NAMES).filter(([name]) => name.startsWith(prefix)),
  };
  return createImageView(
    {
      segments: [
        { address: imageVirtualAddress(TEXT), bytes: text, kind: 'text' },
        { address: imageVirtualAddress(TABLES), bytes: tables, kind: 'init' },
      ],
      sections: [
        section('__jump_table', 0, 16),
        section('.static_call_sites', 0x20, 24),
        section('__mcount_loc', 0x40, 8),
        section('.return_sites', 0x50, 4),
        section('runtime_ptr_USER_PTR_MAX', 0x60, 4),
        section('runtime_ptr_dentry_hashtable', 0x64, 4),
      ],
    },
    symbols,
  );
}

const image = tinyImage();
const RANGE = { start: TEXT, end: TEXT + PAGE };
const capabilities = new Array<number>(22).fill(0);
capabilities[RETHUNK.word] = 1 << RETHUNK.bit;
/** Where the kernel's data is, as the owner's types of frames say. */
const DATA = 0xffff_8880_0100_0000n;
const VECTOR: BootVector = {
  capabilities,
  returnThunk: 'srso_return_thunk',
  oneProcessor: false,
  pointers: new Map(),
  constants: new Map([
    ['USER_PTR_MAX', 0x7fff_ffff_f000n],
    ['dentry_hashtable', DATA],
  ]),
  calls: new Map([
    [NAMES.__SCK__call ?? 0, TEXT + AT.target],
    [NAMES.__SCK__none ?? 0, 0],
  ]),
  sites: new Map(),
};

/** Returns go by the thunk of this processor, and a static call may lead into a module. */
const POLICY = {
  capabilities,
  cpuid: new Map(),
  returnThunks: new Set(['srso_return_thunk']),
  paravirt: () => false,
  isData: (at: bigint) => at === DATA,
  isModuleFunction: (at: number) => at === TEXT - 0x10_0000,
};
const kernelLetting = (...changeable: string[]) =>
  packagedKernel({ image, text: RANGE, policy: POLICY, changeable: new Set(changeable) });

/** An owner over the memory of a kernel that has booted with `booted`, and was told that it had booted with `named`. */
function sealed(booted: BootVector, named: BootVector = booted, defects: { 'B-A12'?: boolean } = {}) {
  const memory = createRam<Pfn>({ ranges: [{ start: 0 as Pfn, end: 1 as Pfn }] });
  const words = memory.writablePage(0 as Pfn) ?? new Uint32Array();
  const page = new Uint8Array(words.buffer, words.byteOffset, PAGE);
  page.set(buildText(image, RANGE, booted).bytes(TEXT, PAGE) ?? []);
  const owner = createCodeAuthority({
    host: {
      memory,
      hostFrame: (gfn) => Number(gfn) as Pfn,
      setRights: () => {},
      setOtherRights: () => {},
      flush: () => {},
      stopped: (work) => work(),
      secret: new Uint8Array(32),
      processors: 2,
    },
    readImage: () => undefined,
    defects,
  });
  const kernel = kernelLetting('tracing', 'ftrace');
  const placement = { bases: [imageVirtualAddress(TEXT)], frames: [[0 as Gfn]] };
  const answer = complete(owner.sealBooted(kernel, named, placement));
  const poke = (key: string, state: number): string => {
    const site = kernel.booted(named).image.sites.findIndex((one) => one.key === key);
    const result = complete(owner.poke([{ image: 1, site, state }]));
    return result.ok ? 'done' : result.why;
  };
  return {
    answer: answer.ok ? 'sealed' : answer.why,
    poke,
    at: (offset: number) => [...page.subarray(offset, offset + 5)],
  };
}

describe("a real kernel's package", () => {
  it('is sealed where what runs is what the package and the boot vector make', () => {
    expect(sealed(VECTOR).answer).toBe('sealed');
    const jumping = { ...VECTOR, sites: new Map([[TEXT + AT.label, 'jumps' as const]]) };
    expect(sealed(jumping).answer).toBe('sealed');
    expect(sealed(jumping, VECTOR).answer).toBe('mismatch');
    expect(sealed({ ...VECTOR, capabilities: [] }, VECTOR).answer).toBe('mismatch');
  });

  it('is not sealed by a boot that may not be, though its bytes prove it', () => {
    const forged: readonly Partial<BootVector>[] = [
      { capabilities: [] },
      { returnThunk: '__x86_return_thunk' },
      { oneProcessor: true },
      { calls: new Map() },
      // Whatever a program passes is an address of its own; a table that looks up what the attacker has put there.
      { constants: new Map([...VECTOR.constants, ['USER_PTR_MAX', 2n ** 64n - 1n]]) },
      { constants: new Map([...VECTOR.constants, ['dentry_hashtable', 0x1000n]]) },
      { constants: new Map() },
      { sites: new Map([[TEXT + AT.function, { calls: TEXT + AT.target }]]) },
    ];
    for (const change of forged) {
      const vector = { ...VECTOR, ...change };
      expect([sealed(vector).answer, Object.keys(change)]).toEqual(['unsafe-boot', Object.keys(change)]);
    }
    // Whoever believes what the bytes prove seals a kernel without its mitigations.
    expect(sealed({ ...VECTOR, capabilities: [] }, undefined, { 'B-A12': true }).answer).toBe('sealed');
  });

  it('has sites whose states are what Linux writes', () => {
    const { poke, at } = sealed(VECTOR);
    expect([poke('tracing', 1), at(AT.label)]).toEqual(['done', branch(0xe9, AT.label, AT.target)]);
    expect([poke('tracing', 0), at(AT.label)]).toEqual(['done', NOP5]);
    expect([poke('ftrace', 2), at(AT.function)]).toEqual(['done', branch(0xe8, AT.function, 0x960)]);
  });

  it('lets nothing change that no manifest names, and has no number for a return without its thunk', () => {
    const { poke, at } = sealed(VECTOR);
    expect([poke('__SCK__call', 0), poke('__SCK__none', 1)]).toEqual(['frozen', 'frozen']);
    expect(at(AT.returns)).toEqual(branch(0xe9, AT.returns, 0x920));
    const { sites } = kernelLetting().booted(VECTOR).image;
    expect(sites.map(({ at: place }) => place.offset)).not.toContain(AT.returns);
  });

  it('keeps a call that leads into a module, or a function that is traced by what it does not have, as it is', () => {
    const calls = new Map([...VECTOR.calls, [NAMES.__SCK__call ?? 0, TEXT - 0x10_0000] as const]);
    const traced = new Map([[TEXT + AT.function, { calls: TEXT - 0x20_0000 }]]);
    const vector = { ...VECTOR, calls, sites: traced };
    const { sites } = kernelLetting().booted(vector).image;
    expect(sites.map(({ kind }) => kind)).toEqual(['jump-label', 'static-call', 'static-jump']);
    expect(sealed({ ...VECTOR, calls }).answer).toBe('sealed');
    expect(sealed(vector).answer).toBe('unsafe-boot');
  });
});
