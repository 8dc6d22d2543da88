import { expect, test } from 'vitest';
import type { ExitAction } from '../exit-action.ts';
import { machine, PTE, va } from '../testing/machine.ts';
import { ListedSecondLevel } from '../testing/second-level.ts';

const KERNEL = va(0xffff_8880_0000_0000n);
const RW = PTE.P | PTE.W;

test("Linux's spurious-fault retry against a refusing second level is a livelock of an exit and a fault", () => {
  const secondLevel = new ListedSecondLevel();
  secondLevel.map(0, 128);
  secondLevel.map(200, 1, { read: true });
  let exits = 0;
  const { cpu, tables } = machine({
    secondLevel,
    onExit: () => {
      exits++;
      return { kind: 'inject', exception: { vector: 14, errorCode: 3, cr2: KERNEL } };
    },
    onException: () => 'retry',
  });
  tables.map(KERNEL, 200, RW);
  const outcome = cpu.store(KERNEL, 8, 1n);
  const exception = { vector: 14, errorCode: 3, cr2: KERNEL };
  expect(outcome).toEqual({
    kind: 'livelock',
    repetitions: 4,
    cycle: [
      {
        kind: 'exit',
        exit: { reason: 'ept-violation', qualification: 0x18a, gpa: 200 * 4096, gla: KERNEL },
        action: { kind: 'inject', exception },
      },
      { kind: 'exception', exception, decision: 'retry' },
    ],
  });
  expect(exits).toBe(4);
  expect(cpu.load(KERNEL, 8)).toMatchObject({ kind: 'done' });
});

test('an exit that is resumed without help, and a fault that is retried without help, are livelocks', () => {
  const { cpu } = machine({ onExit: () => ({ kind: 'resume' }), onException: () => 'retry' });
  expect(cpu.vmcall()).toMatchObject({
    kind: 'livelock',
    cycle: [{ kind: 'exit', exit: { reason: 'hypercall' } }],
  });
  expect(cpu.load(KERNEL, 8)).toMatchObject({
    kind: 'livelock',
    cycle: [{ kind: 'exception', decision: 'retry' }],
  });
});

test('help that comes after a few turns is waited for', () => {
  let turns = 0;
  const { cpu, tables } = machine({
    onException: () => {
      turns++;
      if (turns === 3) tables.map(KERNEL, 200, RW);
      return 'retry';
    },
  });
  expect(cpu.load(KERNEL, 8)).toEqual({ kind: 'done', value: 0n });
});

test('two answers that undo each other are a cycle of two', () => {
  let odd = false;
  const { cpu } = machine({
    onExit: (): ExitAction => {
      odd = !odd;
      return odd ? { kind: 'resume' } : { kind: 'inject', exception: { vector: 13, errorCode: 0 } };
    },
    onException: () => 'retry',
  });
  const outcome = cpu.vmcall();
  expect(outcome).toMatchObject({ kind: 'livelock', repetitions: 4 });
  expect(outcome.kind === 'livelock' ? outcome.cycle : []).toHaveLength(3);
});

test('turns that never repeat are given up, too', () => {
  let errorCode = 0;
  let turns = 0;
  const { cpu } = machine({
    onExit: () => {
      turns++;
      return { kind: 'inject', exception: { vector: 13, errorCode: errorCode++ } };
    },
    onException: () => 'retry',
  });
  expect(cpu.vmcall()).toMatchObject({ kind: 'livelock', repetitions: 1 });
  expect(turns).toBe(256);
});

test('a repeated store makes progress page by page, however often each page faults', () => {
  const { cpu, tables } = machine({
    onException: (_vcpu, { cr2 }) => {
      if (cr2 !== undefined) tables.map(cr2, 300, RW);
      return 'retry';
    },
  });
  expect(cpu.storeBytes(KERNEL, new Uint8Array(20 * 4096))).toMatchObject({ kind: 'done' });
});

test('turn by turn, a repetition is not a livelock while others make progress', () => {
  const { cpu } = machine({ onException: () => 'retry' });
  const patient = cpu.stepwise.load(KERNEL, 8);
  for (let i = 0; i < 50; i++) expect(patient.next(true)).toEqual({ done: false, value: 'retry' });
  const alone = cpu.stepwise.load(KERNEL, 8);
  const turns: unknown[] = [];
  for (let i = 0; i < 4; i++) {
    const { done, value } = alone.next(false);
    turns.push(done === true ? value.kind : value);
  }
  expect(turns).toEqual(['retry', 'retry', 'retry', 'livelock']);
});
