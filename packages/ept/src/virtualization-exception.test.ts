import { type Gfn, type Gpa, type Pfn, virtualAddress } from '@heki/physical-memory';
import { REFUSED, SecondLevelAccess } from '@heki/second-level';
import { describe, expect, it } from 'vitest';
import { createEpt } from './ept.ts';
import { createTableMemory, type Path, pathMemory } from './testing/table-memory.ts';
import { deliverVe, type VeDelivery } from './virtualization-exception.ts';

const SUPPRESS = 1n << 63n;
const READ = SecondLevelAccess.READ | SecondLevelAccess.LINEAR_VALID;

function convertible(entries: Path['entries'], control = true): boolean | undefined {
  const ept = createEpt({
    memory: pathMemory({ levels: 4, leaf: 1, entries }),
    eptp: 0x401en,
    controls: { virtualizationException: control },
  });
  expect(ept.translate(0 as Gfn, 0, READ)).toBe(REFUSED);
  return ept.fault?.kind === 'ept-violation' ? ept.fault.convertible : undefined;
}

describe('an EPT violation', () => {
  it('is convertible by bit 63 of the entry that is not present, or else of the leaf', () => {
    expect(convertible({ 3: 0n })).toBe(true);
    expect(convertible({ 3: SUPPRESS })).toBe(false);
    expect(convertible({ 3: 0x2004n | SUPPRESS, 1: 0x1004n })).toBe(true);
    expect(convertible({ 1: 0x1004n | SUPPRESS })).toBe(false);
    expect(convertible({ 1: 0n }, false)).toBe(false);
  });

  it('cannot be converted when it is a misconfiguration', () => {
    expect(convertible({ 1: 2n })).toBeUndefined();
  });
});

describe('#VE', () => {
  const violation: VeDelivery = {
    qualification: 0x18a,
    gpa: 0x12_3456_7018 as Gpa,
    gla: virtualAddress(0xffff_8881_0000_0018n),
    eptpIndex: 3,
    protectedMode: true,
    deliveringEvent: false,
  };

  it('fills its information page and marks it busy', () => {
    const memory = createTableMemory(2);
    memory.write(4096 + 32, 0xaaaa_bbbb_cccc_ddddn);
    expect(deliverVe(memory, 1 as Pfn, violation)).toBe(true);
    expect([0, 8, 16, 24, 32].map((offset) => memory.read(4096 + offset))).toEqual([
      0xffff_ffff_0000_0030n,
      0x18an,
      0xffff_8881_0000_0018n,
      0x12_3456_7018n,
      0xaaaa_bbbb_cccc_0003n,
    ]);
  });

  it('is delivered once until the guest clears the busy word, and not in the middle of another event', () => {
    const memory = createTableMemory(2);
    expect(deliverVe(memory, 1 as Pfn, { ...violation, deliveringEvent: true })).toBe(false);
    expect(deliverVe(memory, 1 as Pfn, { ...violation, protectedMode: false })).toBe(false);
    expect(memory.read(4096)).toBe(0n);
    expect(deliverVe(memory, 1 as Pfn, violation)).toBe(true);
    expect(deliverVe(memory, 1 as Pfn, { ...violation, qualification: 0x181 })).toBe(false);
    expect(memory.read(4096 + 8)).toBe(0x18an);
    memory.write(4096, 0x30n);
    expect(deliverVe(memory, 1 as Pfn, { ...violation, qualification: 0x181 })).toBe(true);
  });

  it('exits instead when its information page is in no memory', () => {
    expect(deliverVe(createTableMemory(1), 1 as Pfn, violation)).toBe(false);
  });
});
