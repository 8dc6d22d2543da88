import { expect, test } from 'vitest';
import { machine, PTE, va } from '../testing/machine.ts';
import { createScheduler } from './create-scheduler.ts';
import type { Agent } from './scheduler.ts';

const KERNEL = va(0xffff_8880_0000_0000n);

/** Agents that write their letter, `steps` times each. */
function writers(log: string[], ...steps: number[]): Agent[] {
  return steps.map((count, index) => {
    const name = String.fromCharCode(97 + index);
    function* write(): Generator<undefined, void, boolean | undefined> {
      for (let i = 0; i < count; i++) {
        log.push(name);
        yield;
      }
    }
    return { name, steps: write() };
  });
}

function order(seed: number, schedule?: readonly number[]): { text: string; schedule: readonly number[] } {
  const log: string[] = [];
  const scheduler = createScheduler({
    seed,
    agents: writers(log, 6, 6, 6),
    schedule,
  });
  return { schedule: scheduler.run().schedule, text: log.join('') };
}

test('the same seed gives the same order, another seed another', () => {
  const first = order(1);
  expect(order(1)).toEqual(first);
  const orders = new Set(Array.from({ length: 20 }, (_, seed) => order(seed).text));
  expect(orders.size).toBeGreaterThan(15);
});

test('a recorded schedule replays a run under any seed', () => {
  const first = order(7);
  expect(order(8, first.schedule)).toEqual(first);
});

test('a schedule may name agents that have finished, and its end is left to the seed', () => {
  const log: string[] = [];
  createScheduler({ seed: 1, agents: writers(log, 1, 1), schedule: [1, 1, 1, 1, 1, 0] }).run();
  expect(log.join('')).toBe('ba');
});

test('a scheduler has a step as long as an agent has', () => {
  const scheduler = createScheduler({ seed: 1, agents: writers([], 1) });
  expect([scheduler.step(), scheduler.step(), scheduler.step()]).toEqual([true, true, false]);
});

test('a run that takes too long ends with its budget', () => {
  function* forever(): Generator<undefined, void, boolean | undefined> {
    for (;;) yield;
  }
  const scheduler = createScheduler({ seed: 1, agents: [{ name: 'spin', steps: forever() }] });
  expect(scheduler.run(10)).toEqual({ end: 'budget', schedule: new Array(10).fill(0) });
});

test('every step is announced before it is taken', () => {
  const log: string[] = [];
  const agents = writers(log, 2);
  createScheduler({ seed: 1, agents, onStep: (agent, step) => log.push(`${agent.name}${step}`) }).run();
  expect(log).toEqual(['a0', 'a', 'a1', 'a', 'a2']);
});

test('a fault that another virtual CPU mends is not a livelock; one that stays is', () => {
  const { cpu, tables } = machine({ onException: () => 'retry' });
  const kinds: string[] = [];
  function* reader(): Generator<'retry' | undefined, void, boolean | undefined> {
    const outcome = yield* cpu.stepwise.load(KERNEL, 8);
    kinds.push(outcome.kind);
  }
  function* mender(after: number): Generator<undefined, void, boolean | undefined> {
    for (let i = 0; i < after; i++) yield;
    tables.map(KERNEL, 200, PTE.P | PTE.W);
  }
  // The reader retries between any two steps of the mender: 100 times the same fault.
  createScheduler({
    seed: 1,
    agents: [
      { name: 'reader', steps: reader() },
      { name: 'mender', steps: mender(100) },
    ],
    schedule: Array.from({ length: 200 }, (_, i) => i % 2),
  }).run();
  expect(kinds).toEqual(['done']);

  tables.change(KERNEL, PTE.P);
  cpu.invlpg(KERNEL);
  createScheduler({
    seed: 1,
    agents: [
      { name: 'reader', steps: reader() },
      { name: 'idle', steps: mender(0) },
    ],
  });
  const pair = [reader(), reader()].map((steps, i) => ({ name: `reader ${i}`, steps }));
  createScheduler({ seed: 3, agents: pair }).run();
  expect(kinds).toEqual(['done', 'livelock', 'livelock']);
});

test('a race is found by its seed and replayed by its schedule', () => {
  const { cpu: one, memory, tables } = machine();
  const { cpu: two } = machine({ id: 1, memory });
  two.registers.cr3 = one.registers.cr3;
  tables.map(KERNEL, 200, PTE.P | PTE.W);
  const run = (
    seed: number,
    schedule?: readonly number[],
  ): { total: bigint; schedule: readonly number[] } => {
    one.store(KERNEL, 8, 0n);
    const increment = function* (cpu: typeof one): Generator<undefined, void, boolean | undefined> {
      for (let i = 0; i < 3; i++) {
        const loaded = cpu.load(KERNEL, 8);
        yield;
        if (loaded.kind === 'done') cpu.store(KERNEL, 8, loaded.value + 1n);
        yield;
      }
    };
    const agents = [one, two].map((cpu) => ({ name: `cpu ${cpu.id}`, steps: increment(cpu) }));
    const result = createScheduler({ seed, agents, schedule }).run();
    const end = one.load(KERNEL, 8);
    return { total: end.kind === 'done' ? end.value : -1n, schedule: result.schedule };
  };
  const runs = Array.from({ length: 30 }, (_, seed) => run(seed));
  const lost = runs.find(({ total }) => total < 6n);
  expect(lost).toBeDefined();
  expect(run(99, lost?.schedule)).toEqual(lost);
});

test('wrong options are refused', () => {
  for (const seed of [0.5, -1, 2 ** 32]) {
    expect(() => createScheduler({ seed, agents: [] })).toThrow(`seed ${seed}: expected an integer`);
  }
  for (const seed of [0, 2 ** 32 - 1]) expect(order(seed).text).toHaveLength(18);
  expect(() => createScheduler({ seed: 1, agents: [], schedule: [0] })).toThrow(
    /step 0 of the schedule: agent 0/,
  );
  expect(createScheduler({ seed: 1, agents: [] }).run()).toEqual({ end: 'finished', schedule: [] });
});
