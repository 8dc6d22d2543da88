import type { Gfn, Pfn } from '@heki/physical-memory';
import { REFUSED, SecondLevelAccess } from '@heki/second-level';
import { AMD_ZEN4, INTEL_HASWELL, INTEL_SKYLAKE } from '@heki/x86';
import { describe, expect, it } from 'vitest';
import type { EptControls } from './controls.ts';
import { createEpt, type Ept } from './ept.ts';
import { encodeEptp } from './eptp.ts';
import { describeQualification, EptAccess } from './qualification.ts';
import { createTableMemory, type Path, pathEntry, pathMemory, TARGET } from './testing/table-memory.ts';

const A = SecondLevelAccess;
const DATA_READ = A.READ | A.LINEAR_VALID;
const DATA_WRITE = A.WRITE | A.LINEAR_VALID;
const FETCH = A.FETCH | A.LINEAR_VALID;
const GUEST_ENTRY = A.READ | A.PAGING_STRUCTURE | A.LINEAR_VALID;
const GUEST_ENTRY_UPDATE = A.WRITE | A.PAGING_STRUCTURE | A.LINEAR_VALID;
const MBEC = { modeBasedExecute: true };

function eptOf(
  path: Path,
  options: { readonly ad?: boolean; readonly sss?: boolean; readonly controls?: EptControls } = {},
): Ept {
  return createEpt({
    memory: pathMemory(path),
    eptp: encodeEptp({
      levels: path.levels,
      accessedDirty: options.ad ?? false,
      supervisorShadowStack: options.sss ?? false,
      root: path.levels as Pfn,
    }),
    controls: options.controls,
  });
}

/** A path of four levels to a 4 KiB leaf with these low bits besides the address. */
const leafOf = (bits: bigint): Path => ({ levels: 4, leaf: 1, entries: { 1: TARGET | 0x30n | bits } });

function refusal(ept: Ept, access: number, gfn = 0, offset = 0x18) {
  expect(ept.translate(gfn as Gfn, offset, access)).toBe(REFUSED);
  return ept.fault;
}

function qualification(ept: Ept, access: number): string {
  const fault = refusal(ept, access);
  return fault?.kind === 'ept-violation' ? describeQualification(fault.qualification) : String(fault?.kind);
}

describe('EPT', () => {
  it('translates through 4 and 5 levels to leaves of every size', () => {
    for (const levels of [4, 5] as const) {
      for (const leaf of [1, 2, 3] as const) {
        const ept = eptOf({ levels, leaf });
        const gfn = leaf === 1 ? 0 : leaf === 2 ? 0x1ff : 0x3_ffff;
        expect(ept.translate(gfn as Gfn, 0, DATA_READ)).toBe(Number(TARGET >> 12n) + gfn);
        expect(ept.level).toBe(leaf);
      }
    }
  });

  it('reports an entry that is not present with no rights at all', () => {
    const ept = eptOf({ levels: 4, leaf: 1, entries: { 3: 0n } });
    expect(qualification(ept, DATA_WRITE)).toBe('0x182: WRITE LINEAR_VALID FINAL_ADDRESS');
  });

  it('reports the AND of the rights of all entries, of those above the leaf too', () => {
    const ept = eptOf({ levels: 4, leaf: 1, entries: { 3: 0x2005n, 1: TARGET | 0x33n } });
    expect(qualification(ept, DATA_WRITE)).toBe('0x18a: WRITE READABLE LINEAR_VALID FINAL_ADDRESS');
  });

  it('lets a misconfigured lower entry win over a right that an upper entry denies', () => {
    const ept = eptOf({ levels: 4, leaf: 1, entries: { 4: 0x3005n, 1: TARGET | 0x3fn } });
    expect(refusal(ept, DATA_WRITE)).toEqual({ kind: 'ept-misconfiguration', gpa: 0x18 });
  });

  it('lets an upper entry that is not present win over a misconfigured lower one', () => {
    const ept = eptOf({ levels: 4, leaf: 1, entries: { 2: 0n, 1: 0x2n } });
    expect(qualification(ept, DATA_READ)).toMatch('0x181');
  });

  it('refuses what lies beyond the addresses that four levels translate', () => {
    const fault = refusal(eptOf({ levels: 4, leaf: 1 }), DATA_READ, 2 ** 36);
    expect(fault).toEqual({
      kind: 'ept-violation',
      qualification: 0x181,
      gpa: 2 ** 48 + 0x18,
      convertible: false,
    });
  });

  it('says so when the host has no memory where a table should be', () => {
    const ept = eptOf({ levels: 4, leaf: 1, entries: { 3: 0x12_3007n } });
    expect(refusal(ept, DATA_READ)).toEqual({ kind: 'absent-table', gpa: 0x18, table: 0x123 });
  });

  it('judges fetches by X alone without MBEC, and ignores XU even for presence', () => {
    expect(eptOf(leafOf(5n)).translate(0 as Gfn, 0, FETCH | A.USER_PAGE)).not.toBe(REFUSED);
    expect(qualification(eptOf(leafOf(0x401n)), FETCH | A.USER_PAGE)).toMatch(
      '0x38c: FETCH READABLE LINEAR_VALID',
    );
    expect(qualification(eptOf(leafOf(0x400n)), FETCH | A.USER_PAGE)).toMatch('0x384: FETCH LINEAR_VALID');
  });

  it('judges fetches under MBEC by the mode of the linear address, not by who fetches', () => {
    const userOnly = eptOf(leafOf(0x401n), { controls: MBEC });
    expect(userOnly.translate(0 as Gfn, 0, FETCH | A.USER_PAGE)).not.toBe(REFUSED);
    expect(qualification(userOnly, FETCH)).toBe(
      '0x1cc: FETCH READABLE USER_EXECUTABLE LINEAR_VALID FINAL_ADDRESS',
    );
    const supervisorOnly = eptOf(leafOf(5n), { controls: MBEC });
    expect(supervisorOnly.translate(0 as Gfn, 0, FETCH | A.USER_ACCESS)).not.toBe(REFUSED);
    expect(qualification(supervisorOnly, FETCH | A.USER_PAGE)).toMatch('0x3ac');
  });

  it('reports XU for data accesses too', () => {
    expect(qualification(eptOf(leafOf(0x401n), { controls: MBEC }), DATA_WRITE)).toMatch('0x1ca');
  });

  it('reports a read-modify-write as the processor does', () => {
    const options = { memory: pathMemory(leafOf(1n)), eptp: 0x401en };
    for (const [processor, expected] of [
      [INTEL_SKYLAKE, 0x18a],
      [INTEL_HASWELL, 0x18b],
    ] as const) {
      const ept = createEpt({ ...options, processor });
      expect(refusal(ept, A.READ | DATA_WRITE)).toMatchObject({ qualification: expected });
    }
  });

  it('reports advanced information only where the processor has it, and only for final addresses', () => {
    const page = A.USER_PAGE | A.WRITABLE_PAGE | A.EXECUTE_DISABLE_PAGE;
    const options = { memory: pathMemory(leafOf(1n)), eptp: 0x401en };
    const advanced = createEpt(options);
    expect(refusal(advanced, DATA_WRITE | page)).toMatchObject({ qualification: 0xf8a });
    expect(refusal(advanced, DATA_WRITE | A.WRITABLE_PAGE)).toMatchObject({ qualification: 0x58a });
    expect(refusal(advanced, GUEST_ENTRY_UPDATE | page)).toMatchObject({ qualification: 0x08b });
    const plain = createEpt({ ...options, processor: INTEL_HASWELL });
    expect(refusal(plain, DATA_WRITE | page)).toMatchObject({ qualification: 0x18a });
  });

  it('reports an IRET that unblocks NMIs and an asynchronous access', () => {
    const ept = eptOf(leafOf(1n));
    expect(qualification(ept, DATA_WRITE | EptAccess.NMI_UNBLOCKING)).toMatch('0x118a');
    expect(qualification(ept, A.WRITE | EptAccess.ASYNCHRONOUS)).toBe('0x1000a: WRITE READABLE ASYNCHRONOUS');
  });

  it('sets A in every entry and D in the leaf of a write, and nothing when it refuses', () => {
    const path: Path = { levels: 4, leaf: 2, entries: { 2: TARGET | 0xb3n } };
    const memory = pathMemory(path);
    const ept = createEpt({ memory, eptp: 0x405en });
    const entries = () =>
      [4, 3, 2].map((level) => memory.read(level * 4096) - (path.entries?.[level] ?? pathEntry(level, 2)));
    refusal(ept, FETCH);
    expect(entries()).toEqual([0n, 0n, 0n]);
    ept.translate(0 as Gfn, 0, DATA_READ);
    expect(entries()).toEqual([0x100n, 0x100n, 0x100n]);
    ept.translate(0 as Gfn, 0, DATA_WRITE);
    expect(entries()).toEqual([0x100n, 0x100n, 0x300n]);
  });

  it('sets D for every use of a guest paging entry, but not for the PDPTE loads of MOV CR', () => {
    const memory = pathMemory({ levels: 4, leaf: 1 });
    const ept = createEpt({ memory, eptp: 0x405en });
    ept.translate(0 as Gfn, 0, A.READ | A.PAGING_STRUCTURE);
    expect(memory.read(4096) & 0x300n).toBe(0x100n);
    ept.translate(0 as Gfn, 0, GUEST_ENTRY);
    expect(memory.read(4096) & 0x300n).toBe(0x300n);
  });

  it('lets MOV CR load PDPTEs from a read-only page even with A/D flags, and reports no linear address', () => {
    expect(eptOf(leafOf(1n), { ad: true }).translate(0 as Gfn, 0, A.READ | A.PAGING_STRUCTURE)).not.toBe(
      REFUSED,
    );
    expect(qualification(eptOf(leafOf(4n), { ad: true }), A.READ | A.PAGING_STRUCTURE)).toBe(
      '0x21: READ EXECUTABLE',
    );
  });

  it('checks supervisor shadow-stack accesses by bit 60 of the leaf instead of W', () => {
    const shadow = DATA_WRITE | A.SHADOW_STACK;
    const page = leafOf(0x1000_0000_0000_0001n);
    expect(eptOf(page, { sss: true }).translate(0 as Gfn, 0, shadow)).not.toBe(REFUSED);
    expect(qualification(eptOf(page, { sss: true }), shadow | A.USER_ACCESS)).toBe(
      '0x618a: WRITE READABLE LINEAR_VALID FINAL_ADDRESS SHADOW_STACK SHADOW_STACK_PAGE',
    );
    expect(qualification(eptOf(leafOf(7n), { sss: true }), shadow)).toMatch('0x21ba');
    expect(eptOf(leafOf(7n)).translate(0 as Gfn, 0, shadow)).not.toBe(REFUSED);
    const readOnlyAbove: Path = { levels: 4, leaf: 1, entries: { ...page.entries, 2: 0x1005n } };
    expect(qualification(eptOf(readOnlyAbove, { sss: true }), shadow)).toMatch('0x618a');
  });

  it('loads another EPTP only when it is valid', () => {
    const memory = createTableMemory(8);
    memory.write(4 * 4096, 0x2007n);
    const ept = createEpt({ memory, eptp: 0x4018n });
    expect(ept.load(0x4000n)).toBe('walk-length');
    expect(ept.load(0x401cn)).toBe('memory-type');
    expect(ept.load(0x411en)).toBe('reserved-bits');
    expect(ept.eptp.root).toBe(4);
    expect(ept.load(0x505en)).toBeUndefined();
    expect(ept.eptp).toMatchObject({ root: 5, accessedDirty: true, levels: 4 });
  });

  it('refuses to be built for a processor that lacks it', () => {
    const memory = createTableMemory(1);
    expect(() => createEpt({ memory, eptp: 0x18n, processor: AMD_ZEN4 })).toThrow('amd-zen4 has no EPT');
    expect(() => createEpt({ memory, eptp: 0x20n, processor: INTEL_SKYLAKE })).toThrow('walk-length');
    expect(() => createEpt({ memory, eptp: 0x98n, processor: INTEL_SKYLAKE })).toThrow('reserved-bits');
    expect(() => createEpt({ memory, eptp: 0x18n, processor: INTEL_HASWELL, controls: MBEC })).toThrow(
      'intel-haswell does not have control modeBasedExecute',
    );
  });
});
