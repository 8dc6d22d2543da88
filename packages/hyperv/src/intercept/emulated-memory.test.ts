import { HvAccess } from '@heki/hypercall/hyperv';
import { createGuestRegions, createHostFrames } from '@heki/hypervisor';
import {
  createFrameAllocator,
  createRam,
  type Gfn,
  type Gpa,
  gfn,
  type Pfn,
  pfn,
  type VirtualAddress,
} from '@heki/physical-memory';
import type { EmulatedAccess } from '@heki/vcpu';
import { INTEL_HASWELL, INTEL_VT_RP } from '@heki/x86';
import { describe, expect, test } from 'vitest';
import { createVtlMemory } from '../partition/vtl-memory.ts';
import { emulatedMemory, type RefusedAccess } from './emulated-memory.ts';

const [NONE, READ, WRITE, KX, UX] = [0, 1, 2, 4, 8];
const ROM = 0x40;
const STOP = { kind: 'stop', why: 'refused' } as const;

/** Memory of 64 frames and 64 of ROM behind it, with a mask for one frame. */
function memoryWith(at: number, flags: number, mbec = true) {
  const host = {
    memory: createRam<Pfn>({ ranges: [{ start: pfn(0), end: pfn(0x200) }] }),
    frames: createFrameAllocator<Pfn>({ ranges: [{ start: pfn(0), end: pfn(0x100) }] }),
  };
  const processor = mbec ? INTEL_VT_RP : INTEL_HASWELL;
  const regions = createGuestRegions(host.memory, () => []);
  const vtl = () => createVtlMemory({ host, processor, regions, hostFrames: createHostFrames(), mbec });
  const memory = [vtl(), vtl()] as const;
  for (const region of [
    { start: gfn(0), frames: ROM, backing: pfn(0x100) },
    { start: gfn(ROM), frames: ROM, backing: pfn(0x140), readOnly: true },
  ]) {
    regions.add(region);
    for (const one of memory) one.add(region);
    if (at >= region.start) memory[0].protect(region, gfn(at), gfn(at + 1), flags);
  }
  const refused: RefusedAccess[] = [];
  const emulated = emulatedMemory({ regions, memory }, (what) => {
    refused.push(what);
    return STOP;
  });
  const judge = (kind: EmulatedAccess['kind'], userPage = false) => {
    const gpa = (at * 4096 + 8) as Gpa;
    return emulated.judge({ kind, gpa, linear: 0x1234n as VirtualAddress, userPage });
  };
  return { emulated, judge, refused };
}

describe("an emulator's access", () => {
  test.each([
    ['no rights', NONE, [], true],
    ['reading', READ, ['read'], true],
    ['writing', READ | WRITE, ['read', 'write'], true],
    ['execution by user code', READ | UX, ['read', 'user fetch'], true],
    ['execution', READ | KX | UX, ['read', 'fetch', 'user fetch'], true],
    ['execution without MBEC', READ | KX | UX, ['read', 'fetch', 'user fetch'], false],
    ['everything', READ | WRITE | KX | UX, ['read', 'write', 'fetch', 'user fetch'], true],
  ])('is what the protection of the page allows: %s', (_what, flags, allowed, mbec) => {
    const { judge, refused } = memoryWith(5, flags, mbec);
    const wanted = (name: string) => (allowed.includes(name) ? 'memory' : STOP);
    expect(judge('read')).toEqual(wanted('read'));
    expect(judge('write')).toEqual(wanted('write'));
    expect(judge('fetch')).toEqual(wanted('fetch'));
    expect(judge('fetch', true)).toEqual(wanted('user fetch'));
    const accesses = { read: HvAccess.READ, write: HvAccess.WRITE, fetch: HvAccess.EXECUTE };
    const told = ['read', 'write', 'fetch', 'user fetch'].filter((name) => !allowed.includes(name));
    expect(refused).toEqual(
      told.map((name) => ({
        access: accesses[name.replace('user ', '') as keyof typeof accesses],
        gpa: 5 * 4096 + 8,
        linear: 0x1234n,
      })),
    );
  });

  test('to a ROM reads it, and stores to it are lost, unless VTL1 refuses them', () => {
    const { judge, refused } = memoryWith(ROM + 3, READ | WRITE | KX | UX);
    expect([judge('read'), judge('write'), judge('fetch')]).toEqual(['memory', 'device', 'memory']);
    expect(refused).toEqual([]);
    expect(memoryWith(ROM + 3, READ).judge('write')).toBe(STOP);
  });

  test('where no memory is meets a device, whatever VTL1 has said', () => {
    const { judge, emulated } = memoryWith(0x200, READ);
    expect([judge('read'), judge('write'), judge('fetch')]).toEqual(['device', 'device', 'device']);
    expect([0x3f, ROM + 0x3f, 2 * ROM].map((at) => emulated.has(at as Gfn))).toEqual([true, true, false]);
  });
});

test('flags are set in a page table only where it is memory that VTL0 may write', () => {
  const flags = (at: number, mask: number) => memoryWith(at, mask).emulated.takesFlags(at as Gfn);
  expect(flags(5, READ | WRITE)).toBe(true);
  expect(flags(5, READ)).toBe(false);
  expect(flags(ROM + 1, READ | WRITE)).toBe(false);
});
