import { createKvm } from '@heki/kvm';
import { SMALL_KERNEL } from '@heki/linux';
import { createLinuxMachine, pcMemoryMap, type TraceEvent } from '@heki/machine';
import type { Gfn, VirtualAddress } from '@heki/physical-memory';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { beginLife } from './life.ts';
import { runSteps } from './run-scenario.ts';
import { createInvariants, type Invariants } from './testing/invariants.ts';
import { type Choice, randomLives, stepOf } from './testing/random-life.ts';

const RUNS = Number(process.env.HEKI_LIVES ?? (process.env.HEKI_FUZZ === 'long' ? 200 : 6));
/** Long lives, for boot takes as long as several steps. */
const STEPS = 30;
const PROCESSORS = 3;
const MEMORY = pcMemoryMap(32 * 2 ** 20);
/** A look at all pages after so many accesses of the kernel. */
const ACCESSES = 61;

/** Pages that had a permission, at any moment of a life, that none of their mappings had; how often somebody looked. */
function excesses(
  choices: readonly Choice[],
  options: { readonly early: boolean; readonly every: number },
): { readonly found: Set<string>; readonly looks: number } {
  const found = new Set<string>();
  const open = new Set<Gfn>();
  /** What is writable too early, unless it turns out that a request of text_poke's is on its way, whose hook tells when it has returned. */
  const opening = new Map<Gfn, string>();
  const noneIsOpening = (): void => {
    for (const text of opening.values()) found.add(text);
    opening.clear();
  };
  let invariants: Invariants | undefined;
  let accesses = 0;
  let looks = 0;
  const machine = createLinuxMachine({
    hypervisor: createKvm(),
    memoryMap: MEMORY,
    kernel: SMALL_KERNEL,
    vcpus: PROCESSORS,
    pluggable: 1,
    defects: { 'B-G22': options.early },
    onEvent(event: TraceEvent) {
      if (event.from !== 'kernel' || event.event.type !== 'heki-hook') return;
      const { hook, frames = [], result } = event.event;
      for (const frame of frames) {
        if (hook === 'text-poke-start' && result === 0) {
          open.add(frame);
          opening.delete(frame);
        } else open.delete(frame);
      }
      noneIsOpening();
    },
    interleave() {
      if (invariants === undefined || ++accesses % options.every !== 0) return;
      looks++;
      const excess = invariants.excess(new Set([...open, ...opening.keys()]));
      if (excess?.writableOnly === true) opening.set(excess.frame, excess.text);
      else if (excess !== undefined) found.add(excess.text);
      for (const { id, load } of others()) expect(load(), `processor ${id}`).toBe('done');
    },
  });
  /** The processors that do not run the kernel just now: each loads a word of kernel text. */
  const others = () => {
    const { kernel, vcpus } = machine;
    return kernel.onlineCpus.flatMap((number) => {
      const vcpu = vcpus[number];
      const text = kernel.address('_text');
      return vcpu === undefined || vcpu === kernel.vcpu
        ? []
        : [{ id: number, load: () => vcpu.load(text as VirtualAddress, 8).kind }];
    });
  };
  expect(machine.kernel.boot().kind).toBe('done');
  invariants = createInvariants(machine, true);
  const life = beginLife(machine);
  for (const [serial, choice] of choices.entries()) {
    const step = stepOf(life, choice, serial);
    if (step !== undefined && runSteps(life, [step])[0]?.verdict === 'oops') break;
  }
  noneIsOpening();
  return { found, looks };
}

test('between any two accesses of the kernel no page has a right that its mappings do not have', () => {
  let all = 0;
  fc.assert(
    fc.property(randomLives(STEPS, PROCESSORS), (choices) => {
      const { found, looks } = excesses(choices, { early: false, every: ACCESSES });
      all += looks;
      expect([...found]).toEqual([]);
    }),
    { numRuns: RUNS },
  );
  expect(all).toBeGreaterThan(RUNS);
}, 3_600_000);

test('which the published order of hooks breaks with one module of four pages of text (B-G22)', () => {
  const load: Choice = { kind: 'load-module', which: 0, how: 3, cpu: 0 };
  expect(excesses([load], { early: true, every: 1 }).found.size).toBeGreaterThan(0);
  expect([...excesses([load], { early: false, every: 1 }).found]).toEqual([]);
});
