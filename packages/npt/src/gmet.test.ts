import { createFrameAllocator, createRam, type Gfn, type Pfn, pfn } from '@heki/physical-memory';
import { REFUSED, SecondLevelAccess } from '@heki/second-level';
import { AMD_ZEN4, type CpuProfile } from '@heki/x86';
import { describe, expect, it } from 'vitest';
import { createNptEditor } from './editor.ts';
import { NPT_RIGHTS, type NptRights, nptLeaf } from './gmet.ts';
import { createNpt } from './npt.ts';

const A = SecondLevelAccess;
const WISHES: readonly NptRights[] = [false, true].flatMap((write) =>
  [false, true].flatMap((supervisorExecute) =>
    [false, true].map((userExecute) => ({ read: true, write, supervisorExecute, userExecute })),
  ),
);

function tables(processor: CpuProfile = AMD_ZEN4) {
  const ranges = [{ start: pfn(0x1000), end: pfn(0x1040) }];
  const memory = createRam<Pfn>({ ranges });
  return {
    memory,
    editor: createNptEditor({ memory, frames: createFrameAllocator<Pfn>({ ranges }), processor }),
  };
}

/** What the leaf really allows, found out by trying. */
function tried(wanted: NptRights, gmet: boolean): NptRights {
  const { memory, editor } = tables();
  editor.map(0 as Gfn, 8 as Gfn, 8 as Pfn, nptLeaf(wanted, { gmet }).bits);
  const npt = createNpt({ memory, root: editor.root, controls: { gmet } });
  const allows = (access: number): boolean => npt.translate(3 as Gfn, 0, access) !== REFUSED;
  return {
    read: allows(A.READ),
    write: allows(A.WRITE),
    supervisorExecute: allows(A.FETCH),
    userExecute: allows(A.FETCH | A.USER_ACCESS | A.USER_PAGE),
  };
}

describe('a nested leaf', () => {
  it('grants what it says that it grants, with and without GMET, and all that was wanted', () => {
    for (const gmet of [false, true]) {
      for (const wanted of WISHES) {
        const { granted, weakened } = nptLeaf(wanted, { gmet });
        expect(tried(wanted, gmet)).toEqual(granted);
        for (const right of ['read', 'write', 'supervisorExecute', 'userExecute'] as const) {
          if (wanted[right]) expect(granted[right]).toBe(true);
        }
        expect(weakened).toBe(JSON.stringify(granted) !== JSON.stringify(wanted));
      }
    }
  });

  it('has three states of execution with GMET: none, user only, both', () => {
    const states = WISHES.filter(({ write }) => !write).map((wanted) => {
      const { granted, weakened } = nptLeaf(wanted, { gmet: true });
      return `${granted.supervisorExecute ? 'S' : '-'}${granted.userExecute ? 'U' : '-'}${weakened ? ' weakened' : ''}`;
    });
    expect(states).toEqual(['--', '-U', 'SU weakened', 'SU']);
  });

  it('cannot deny execution to the supervisor alone without GMET, nor reading at all', () => {
    const userOnly: NptRights = { read: true, write: false, supervisorExecute: false, userExecute: true };
    expect(nptLeaf(userOnly, { gmet: false })).toMatchObject({
      weakened: true,
      granted: { supervisorExecute: true },
    });
    expect(nptLeaf({ ...userOnly, read: false }, { gmet: true }).weakened).toBe(true);
  });
});

describe('the editor of nested tables', () => {
  it('asks for a flush when NX or, under GMET, U/S is set, and not when rights are added', () => {
    const { editor } = tables();
    const leaf = (rights: Omit<NptRights, 'read'>) => nptLeaf({ read: true, ...rights }, { gmet: true }).bits;
    const all = leaf({ write: true, supervisorExecute: true, userExecute: true });
    const none = leaf({ write: true, supervisorExecute: false, userExecute: false });
    const change = (bits: { readonly low: number; readonly high: number }) =>
      editor.update(0 as Gfn, 512 as Gfn, { clear: NPT_RIGHTS, set: bits }).flush;
    expect(editor.map(0 as Gfn, 512 as Gfn, 512 as Pfn, none).flush).toBeUndefined();
    expect(editor.leaf(0 as Gfn)).toMatchObject({ level: 2, pfn: 512 });
    expect(change(leaf({ write: true, supervisorExecute: false, userExecute: true }))).toBeUndefined();
    expect(change(none)).toEqual({ start: 0, end: 512 });
    // From no execution to both, U/S goes to 0: the data that it guards has no use for it, but the format cannot know.
    expect(change(all)).toEqual({ start: 0, end: 512 });
    expect(change(leaf({ write: true, supervisorExecute: false, userExecute: true }))).toEqual({
      start: 0,
      end: 512,
    });
    expect(change(leaf({ write: false, supervisorExecute: false, userExecute: true }))).toEqual({
      start: 0,
      end: 512,
    });
  });

  it('gives 1 GiB leaves only where the processor has them', () => {
    const wanted = { read: true, write: true, supervisorExecute: true, userExecute: true };
    const { bits } = nptLeaf(wanted, { gmet: false });
    for (const gigabytePages of [false, true]) {
      const { editor } = tables({ ...AMD_ZEN4, gigabytePages });
      editor.map(0 as Gfn, (2 ** 18) as Gfn, 0 as Pfn, bits);
      expect(editor.leaf(77 as Gfn)).toMatchObject({ gfn: 0, level: gigabytePages ? 3 : 2, pfn: 0 });
    }
  });
});
