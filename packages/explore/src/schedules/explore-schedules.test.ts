import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { exploreSchedules, type ScheduleBounds, type ThreadedProgram } from './explore-schedules.ts';

/** A step of a tiny thread, on cells and one register of its own. */
type Step =
  | { readonly do: 'read' | 'write' | 'add'; readonly cell: number }
  /** Writes if the register is odd: what a step touches depends on what came before. */
  | { readonly do: 'write if odd'; readonly cell: number }
  | { readonly do: 'nothing' };
type Program = readonly (readonly Step[])[];

/** Runs tiny threads. What a schedule came to, the cells and what each thread has read, goes to `ends`. */
function tiny(program: Program, ends: Set<string>): ThreadedProgram {
  return {
    run(choose, done) {
      const cells = [0, 0, 0];
      const at = program.map(() => 0);
      const registers = program.map((_, thread) => thread);
      const seen: number[][] = program.map(() => []);
      for (;;) {
        const enabled = program.flatMap((steps, thread) =>
          (at[thread] ?? 0) < steps.length ? [thread] : [],
        );
        if (enabled.length === 0) break;
        const thread = choose(enabled);
        if (thread === undefined) return;
        const number = at[thread] ?? 0;
        const step = program[thread]?.[number] ?? { do: 'nothing' };
        at[thread] = number + 1;
        const reads = new Set<number>();
        const writes = new Set<number>();
        if (step.do === 'read' || step.do === 'add') {
          reads.add(step.cell);
          registers[thread] = (registers[thread] ?? 0) * 3 + (cells[step.cell] ?? 0);
          seen[thread]?.push(cells[step.cell] ?? 0);
        }
        if (
          step.do === 'write' ||
          step.do === 'add' ||
          (step.do === 'write if odd' && (registers[thread] ?? 0) % 2 === 1)
        ) {
          writes.add(step.cell);
          cells[step.cell] = (registers[thread] ?? 0) * 7 + number + 1;
        }
        done({ reads, writes });
      }
      ends.add(JSON.stringify([cells, seen]));
    },
  };
}

function explored(program: Program, bounds: ScheduleBounds = {}) {
  const ends = new Set<string>();
  const shapes: string[] = [];
  const result = exploreSchedules(tiny(program, ends), {
    ...bounds,
    onSchedule: (_, shape) => {
      shapes.push(shape());
      return false;
    },
  });
  return { ...result, ends, shapes };
}

const cell = fc.integer({ min: 0, max: 2 });
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constantFrom('read', 'write', 'add', 'write if odd'), cell }),
  fc.constant<Step>({ do: 'nothing' }),
);
const programs = fc.oneof(
  fc.array(fc.array(step, { maxLength: 5 }), { minLength: 2, maxLength: 2 }),
  fc.array(fc.array(step, { maxLength: 3 }), { minLength: 3, maxLength: 3 }),
  fc.array(fc.array(step, { maxLength: 2 }), { minLength: 4, maxLength: 4 }),
);

describe('all schedules up to the order of steps that do not depend on each other', () => {
  test('come to the same ends as all schedules, each shape of them once', () => {
    fc.assert(
      fc.property(programs, (program) => {
        const all = explored(program, { unreduced: true });
        const few = explored(program);
        expect(few.end).toBe('closed');
        expect(few.ends).toEqual(all.ends);
        expect(new Set(few.shapes)).toEqual(new Set(all.shapes));
        expect(few.schedules).toBe(new Set(all.shapes).size);
      }),
      { numRuns: 100 },
    );
  });

  test('are one where threads have nothing in common, and every order where they write to one cell', () => {
    const write = (to: number): Step => ({ do: 'write', cell: to });
    const apart = [
      [write(0), write(0)],
      [write(1), write(1)],
    ];
    expect(explored(apart).schedules).toBe(1);
    expect(explored(apart, { unreduced: true }).schedules).toBe(6);
    const together = [
      [write(0), write(0)],
      [write(0), write(0)],
    ];
    expect(explored(together)).toMatchObject({ schedules: 6, left: 0 });
  });

  test('end at their bound, and say so', () => {
    const add: Step = { do: 'add', cell: 0 };
    expect(explored([[add, add], [add]], { schedules: 2 })).toMatchObject({ end: 'schedules', schedules: 2 });
  });

  test('are no schedules of a program that does not do the same again', () => {
    let runs = 0;
    const program: ThreadedProgram = {
      run(choose, done) {
        for (let enabled = runs++ === 0 ? [0, 1] : [0, 2]; enabled.length > 0; ) {
          const thread = choose(enabled);
          done({ reads: new Set(), writes: new Set([0]) });
          enabled = enabled.filter((one) => one !== thread);
        }
      },
    };
    expect(() => exploreSchedules(program)).toThrow(/at step 1 threads 0, 2 can go on: expected 0, 1/);
  });
});
