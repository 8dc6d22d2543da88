import { type Gfn, gpa } from '@heki/physical-memory';
import { describe, expect, test } from 'vitest';
import type { HekiSection, HekiSecureKernel } from '../hypervisor/heki-hypervisor.ts';
import { type GuestEvent, HekiCommand } from '../index.ts';
import { EXEC, READ, r, rw, rx, start, WRITE } from '../testing/small-kernel-guest.ts';

const EPERM = -1;
/** Data, and text of the kernel. */
const DATA = 0x2000;
const TEXT = 0x1000;

/** A secure kernel that takes everything, unless `answer` says otherwise, and writes down what it is asked for. */
function secureKernel() {
  const calls: string[] = [];
  const world = { answer: 0 };
  const note = (name: keyof HekiSecureKernel) => () => {
    calls.push(name);
    return world.answer;
  };
  const secure: HekiSecureKernel = {
    loadPatches: note('loadPatches'),
    finishBoot: note('finishBoot'),
    validateModule: () => note('validateModule')() || 7,
    freeModuleInit: note('freeModuleInit'),
    unloadModule: note('unloadModule'),
    patchText: note('patchText'),
    validateKexec: note('validateKexec'),
  };
  return { secure, calls, world };
}

/** A core whose boot is over. */
function booted() {
  const { secure, calls, world } = secureKernel();
  const lists: number[] = [];
  const hypervisor = {
    lockCrs: () => 0,
    protectMemory(list: number) {
      lists.push(list);
      return 0;
    },
    secureKernel: secure,
  };
  // Memory that the direct map does not have yet lies behind it.
  const core = start({ hypervisor, validFrames: [{ start: 0 as Gfn, end: 0x5000 as Gfn }] });
  core.guest.earlyInit();
  expect(core.guest.secureKernel).toBeUndefined();
  expect(core.guest.lateInit()).toEqual({ outcome: 'protected' });
  expect({ lists: lists.length, calls }).toEqual({ lists: 1, calls: ['finishBoot'] });
  const leaf = (frame: number, bits: typeof rw, frames = 1) =>
    ({ guestFrame: frame, frames, ...bits }) as Parameters<typeof core.guest.applyLeaves>[1][number];
  const change = (frame: number, bits: typeof rw, set: number, clear: number) =>
    core.guest.applyLeaves(HekiCommand.UPDATE, [leaf(frame, bits)], { set, clear });
  return { ...core, lists, calls, world, leaf, change };
}

const section = (frame: number, kind: HekiSection['kind'], frames = 1): HekiSection => ({
  start: gpa(frame * 4096),
  end: gpa((frame + frames) * 4096),
  kind,
});

describe('from the end of boot on', () => {
  test('the hypervisor is asked for nothing, and a page may have less than it is granted', () => {
    const { guest, change, lists } = booted();
    expect(change(DATA, rw, 0, WRITE)).toBe(0);
    expect(guest.permissions(DATA as Gfn)).toBe(READ);
    expect(change(DATA, r, WRITE, 0)).toBe(0);
    expect(guest.beginChange().inForce()).toBe(0);
    expect(lists).toHaveLength(1);
  });

  test('nothing becomes executable, and text not writable: the counters stay as they were', () => {
    const { guest, change, events, lists } = booted();
    events.length = 0;
    expect(change(DATA, rw, EXEC, 0)).toBe(EPERM);
    expect(change(TEXT, rx, WRITE, 0)).toBe(EPERM);
    expect(guest.textPokeStart([TEXT as Gfn])).toBe(EPERM);
    expect([DATA, TEXT].map((frame) => guest.permissions(frame as Gfn))).toEqual([READ | WRITE, READ | EXEC]);
    expect(events.filter(({ type }) => type === 'rolled-back')).toHaveLength(3);
    expect(lists).toHaveLength(1);
  });

  test('what a change of several mappings comes to is looked at when all of them have changed', () => {
    const { guest, leaf, change } = booted();
    // A second mapping, writable as the direct map's is.
    expect(guest.applyLeaves(HekiCommand.MAP, [leaf(DATA, rw)])).toBe(0);
    guest.secureKernel?.validateModule([section(DATA, 'text')], []);
    const early = (set: number, clear: number) =>
      guest.beginChange().leaves(HekiCommand.UPDATE, [leaf(DATA, rw)], { set, clear });
    expect([early(EXEC, WRITE), early(0, WRITE), guest.beginChange().inForce()]).toEqual([0, 0, 0]);
    expect(guest.permissions(DATA as Gfn)).toBe(READ | EXEC);
    expect(change(DATA, r, WRITE, 0)).toBe(EPERM);
    expect(guest.beginChange().leaves(HekiCommand.UPDATE, [leaf(DATA, r)], { set: WRITE })).toBe(0);
    expect(guest.beginChange().inForce()).toBe(EPERM);
  });

  test('memory that was never asked for has all rights', () => {
    const { guest, leaf } = booted();
    const everything = { low: 3, high: 0 };
    expect(guest.applyLeaves(HekiCommand.MAP, [leaf(0x3fff, everything)])).toBe(EPERM);
    expect(guest.applyLeaves(HekiCommand.MAP, [leaf(0x4800, everything)])).toBe(0);
  });
});

describe('a module', () => {
  const SECTIONS = [
    section(DATA, 'text', 2),
    section(DATA + 2, 'rodata'),
    section(DATA + 3, 'ro-after-init'),
    section(DATA + 4, 'init-text'),
  ];
  /** Whether each part, read-only by its mapping, could become executable. */
  const possible = ({ change }: ReturnType<typeof booted>) =>
    [0, 2, 3, 4].map((at) => change(DATA + at, r, EXEC, 0) === 0 && change(DATA + at, rx, 0, EXEC) === 0);
  const withReadOnlyPages = () => {
    const core = booted();
    for (let at = 0; at < 5; at++) core.change(DATA + at, rw, 0, WRITE);
    return core;
  };

  test('that is validated may execute what is text, until that is freed', () => {
    const core = withReadOnlyPages();
    const { secureKernel: secure } = core.guest;
    expect(possible(core)).toEqual([false, false, false, false]);
    expect(secure?.validateModule(SECTIONS, [])).toBe(7);
    expect(possible(core)).toEqual([true, false, false, true]);
    expect(secure?.freeModuleInit(7)).toBe(0);
    expect(possible(core)).toEqual([true, false, false, false]);
    expect(secure?.unloadModule(7)).toBe(0);
    expect(possible(core)).toEqual([false, false, false, false]);
    expect(core.calls).toEqual(['finishBoot', 'validateModule', 'freeModuleInit', 'unloadModule']);
  });

  test('seals its ro-after-init once init is freed', () => {
    const core = booted();
    const { secureKernel: secure } = core.guest;
    secure?.validateModule(SECTIONS, []);
    const opened = () => {
      expect(core.change(DATA + 3, rw, 0, WRITE)).toBe(0);
      return core.change(DATA + 3, r, WRITE, 0);
    };
    expect(opened()).toBe(0);
    secure?.freeModuleInit(7);
    expect(opened()).toBe(EPERM);
  });

  test('that is refused changes nothing, nor does a refused unloading', () => {
    const core = withReadOnlyPages();
    const { secureKernel: secure } = core.guest;
    core.world.answer = -13;
    expect(secure?.validateModule(SECTIONS, [])).toBe(-13);
    expect(possible(core)).toEqual([false, false, false, false]);
    core.world.answer = 0;
    secure?.validateModule(SECTIONS, []);
    core.world.answer = -2;
    expect([secure?.freeModuleInit(7), secure?.unloadModule(7)]).toEqual([-2, -2]);
    expect(possible(core)).toEqual([true, false, false, true]);
  });
});

test('a kexec image that is known can be executed', () => {
  const core = booted();
  expect(core.guest.secureKernel?.validateKexec([section(DATA, 'text')])).toBe(0);
  expect(core.change(DATA, rw, EXEC, WRITE)).toBe(0);
});

test('a secure kernel that does not end boot goes on being asked', () => {
  const { secure, world } = secureKernel();
  world.answer = -1;
  const hypervisor = { lockCrs: () => 0, protectMemory: () => 0, secureKernel: secure };
  const events: GuestEvent[] = [];
  const { guest } = start({ hypervisor, onEvent: (event) => events.push(event) });
  guest.earlyInit();
  expect(guest.lateInit()).toEqual({ outcome: 'end-of-boot-refused', error: -1 });
  expect(guest.secureKernel).toBeUndefined();
  expect(events).toContainEqual({ type: 'warning', text: 'the secure kernel does not end boot: -1' });
});
