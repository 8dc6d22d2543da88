import type { Pfn } from '@heki/physical-memory';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { EmulatedMemory } from '../exit-action.ts';
import type { Outcome } from '../outcome.ts';
import { machine, PTE, va, XD } from '../testing/machine.ts';
import { ALL, ListedSecondLevel } from '../testing/second-level.ts';
import type { Vcpu } from '../vcpu.ts';

const BASE = 0xffff_8880_0000_0000n;
const PAGES = 4;
/** The frame of linear page i. Frames of absent pages are past the end of memory. */
const FIRST = 256;
const ABSENT = 5000;

const page = fc.record({
  bits: fc.constantFrom(PTE.P | PTE.W, PTE.P | PTE.W, PTE.P, PTE.W, PTE.P | PTE.W | PTE.U),
  xd: fc.constantFrom(0, 0, XD),
  absent: fc.integer({ min: 0, max: 7 }).map((roll) => roll === 0),
});
const offset = fc.oneof(
  fc.nat(PAGES * 4096 - 17),
  fc
    .tuple(fc.integer({ min: 1, max: PAGES - 1 }), fc.integer({ min: 1, max: 15 }))
    .map(([at, back]) => at * 4096 - back),
);
const size = fc.constantFrom(1 as const, 2 as const, 4 as const, 8 as const);
const value = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
type Instruction = (cpu: Vcpu) => Outcome<unknown>;
const at = (bytes: number) => va(BASE + BigInt(bytes));
const instruction: fc.Arbitrary<Instruction> = fc.oneof(
  fc.tuple(offset, size).map(
    ([from, bytes]): Instruction =>
      (cpu) =>
        cpu.load(at(from), bytes),
  ),
  fc.tuple(offset, size, value).map(
    ([from, bytes, what]): Instruction =>
      (cpu) =>
        cpu.store(at(from), bytes, BigInt.asUintN(8 * bytes, what)),
  ),
  fc.tuple(offset, size, value).map(
    ([from, bytes, what]): Instruction =>
      (cpu) =>
        cpu.readModifyWrite(at(from), bytes, (old) => old ^ what),
  ),
  fc.tuple(offset, fc.integer({ min: 1, max: 15 })).map(
    ([from, bytes]): Instruction =>
      (cpu) =>
        cpu.fetch(at(from), bytes),
  ),
  fc.tuple(offset, fc.nat(6000)).map(
    ([from, bytes]): Instruction =>
      (cpu) =>
        cpu.loadBytes(at(from), bytes),
  ),
  fc.tuple(offset, fc.nat(6000), fc.nat(255)).map(
    ([from, bytes, fill]): Instruction =>
      (cpu) =>
        cpu.storeBytes(at(from), new Uint8Array(bytes).fill(fill)),
  ),
);
const life = fc.record({
  pages: fc.array(page, { minLength: PAGES, maxLength: PAGES }),
  cpl: fc.constantFrom(0 as const, 0 as const, 3 as const),
  writeProtect: fc.boolean(),
  instructions: fc.array(instruction, { minLength: 1, maxLength: 6 }),
});
type Life = typeof life extends fc.Arbitrary<infer T> ? T : never;

/** A store whose second page faults, of which random lives have few. */
const SPLIT: Life = {
  pages: Array.from({ length: PAGES }, (_, i) => ({
    bits: i === 0 ? PTE.P | PTE.W : 0,
    xd: 0,
    absent: false,
  })),
  cpl: 0,
  writeProtect: true,
  instructions: [(cpu) => cpu.store(at(4092), 8, 0n)],
};

/** The guest of a life; with `emulated` no access gets through its second level, and a hypervisor carries each out. */
function guest({ pages, cpl, writeProtect }: Life, emulated: boolean) {
  const second = new ListedSecondLevel();
  const built = machine({
    ...(emulated ? { secondLevel: second } : {}),
    onExit: () => ({ kind: 'emulate', memory }),
  });
  const memory: EmulatedMemory = {
    memory: built.memory as unknown as EmulatedMemory['memory'],
    has: () => true,
    takesFlags: () => true,
    judge: () => 'memory',
    onDevice: () => {},
    failure: { kind: 'stop', why: 'emulation' },
  };
  // Frames of the pages, of which no table is one: each access exits at its first table.
  second.map(FIRST, PAGES, ALL);
  for (const [i, { bits, xd, absent }] of pages.entries()) {
    built.tables.map(BASE + BigInt(4096 * i), absent ? ABSENT + i : FIRST + i, bits, xd);
    built.memory.writablePage((FIRST + i) as Pfn)?.fill(0x9e37_79b9 + i);
  }
  built.cpu.registers.cpl = cpl;
  if (!writeProtect) built.cpu.registers.cr0 &= ~(1n << 16n);
  /** The bytes of all pages, in words. */
  const words = (): number[] =>
    Array.from({ length: PAGES * 1024 }, (_, i) => {
      return built.memory.page((FIRST + Math.floor(i / 1024)) as Pfn)?.[i % 1024] ?? 0;
    });
  const entries = (): number[] =>
    Array.from({ length: PAGES }, (_, i) => built.tables.low(BASE + BigInt(4096 * i)));
  return { ...built, words, entries };
}

test('an instruction that a hypervisor carries out does what the processor does, and of a store that faults its first page', () => {
  const seen = { done: 0, absent: 0, exception: 0, split: 0 };
  fc.assert(
    fc.property(life, (each) => {
      const real = guest(each, false);
      const software = guest(each, true);
      for (const step of each.instructions) {
        const outcome = step(real.cpu);
        expect(step(software.cpu)).toEqual(outcome);
        expect(software.cpu.registers.rip).toBe(real.cpu.registers.rip);
        expect(software.cpu.registers.cr2).toBe(real.cpu.registers.cr2);
        const [expected, found] = [real.words(), software.words()];
        const differing = expected.flatMap((word, i) => (word === found[i] ? [] : [i]));
        if (differing.length > 0) {
          // The software stored the end of the page before the one that faulted, which the processor did not.
          expect(outcome).toMatchObject({ kind: 'exception', vector: 14 });
          const fault = Number(real.cpu.registers.cr2 - BASE) / 4;
          for (const i of differing) expect([fault - 2, fault - 1]).toContain(i);
          seen.split++;
          return;
        }
        if (outcome.kind === 'exception') seen.exception++;
        if (outcome.kind !== 'done') continue;
        seen.done++;
        if (outcome.absent === true) seen.absent++;
        expect(software.entries()).toEqual(real.entries());
      }
    }),
    { numRuns: 200, examples: [[SPLIT]] },
  );
  for (const count of Object.values(seen)) expect(count).toBeGreaterThan(0);
});
