import { readFileSync } from 'node:fs';
import { init, killThreads } from 'z3-solver';
import type { Values } from './values.ts';

/** z3, with the formulas of `page-list.smt2`. */
export interface Solver {
  /** Whether `formula` holds for all values of its constants. */
  isValid(formula: string): Promise<boolean>;
  /**
   * A model for each combination that `truths` can have together where `scope` holds, a digit for each: when no more comes, z3 has shown
   * that there is no other combination.
   */
  models(
    scope: string,
    truths: readonly string[],
  ): AsyncGenerator<readonly [combination: string, values: Values]>;
  /** Ends z3's threads. */
  end(): void;
}

const FORMULAS = readFileSync(new URL('page-list.smt2', import.meta.url), 'utf8');

/**
 * Starts z3. Of its functions none is called that takes text and runs in a thread of its own: the text is gone by the time that thread
 * reads it (`eval_smtlib2_string` of 5.2.0).
 */
export async function createSolver(): Promise<Solver> {
  const { Context, em } = await init();
  const z3 = Context('lists');

  function given(...assertions: readonly string[]) {
    const solver = new z3.Solver('QF_BV');
    solver.fromString(`${FORMULAS}\n${assertions.join('\n')}`);
    const isSatisfiable = async (): Promise<boolean> => {
      const answer = await solver.check();
      if (answer === 'unknown') throw new Error(`z3 gave up: ${solver.reasonUnknown()}`);
      return answer === 'sat';
    };
    return { solver, isSatisfiable };
  }

  return {
    isValid: async (formula) => !(await given(`(assert (not ${formula}))`).isSatisfiable()),
    async *models(scope, truths) {
      const { solver, isSatisfiable } = given(
        `(assert ${scope})`,
        ...truths.map((truth, at) => `(declare-const truth-${at} Bool) (assert (= truth-${at} ${truth}))`),
      );
      const decisions = truths.map((_, at) => z3.Bool.const(`truth-${at}`));
      while (await isSatisfiable()) {
        const model = solver.model();
        const values = new Map<string, bigint>();
        for (const constant of model.decls()) {
          if (constant.arity() > 0) continue;
          const value = model.eval(constant.call());
          if (z3.isBitVecVal(value)) values.set(String(constant.name()), value.value());
        }
        const held = decisions.map((truth) => z3.isTrue(model.eval(truth, true)));
        yield [held.map(Number).join(''), values];
        solver.add(z3.Or(...decisions.map((truth, at) => (held[at] ? truth.not() : truth))));
      }
    },
    end: () => killThreads(em),
  };
}
