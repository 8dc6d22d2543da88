import { readFileSync } from 'node:fs';
import { init, killThreads } from 'z3-solver';

/** Values of constants in a model, by name; a truth is 1 or 0. */
export type Values = ReadonlyMap<string, bigint>;

/** z3, with the formulas of `page-list.smt2`. */
export interface Solver {
  /** Whether `formula` holds for all values of its constants. */
  isValid(formula: string): Promise<boolean>;
  /**
   * A model for each combination that `truths` can have together where `scope` holds: when no more comes, z3 has shown that there is no
   * other combination.
   */
  models(scope: string, truths: readonly string[]): AsyncGenerator<Values>;
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
      while (await isSatisfiable()) {
        const model = solver.model();
        const values = new Map<string, bigint>();
        for (const constant of model.decls()) {
          if (constant.arity() > 0) continue;
          const value = model.eval(constant.call());
          values.set(
            String(constant.name()),
            z3.isBitVecVal(value) ? value.value() : z3.isTrue(value) ? 1n : 0n,
          );
        }
        yield values;
        solver.add(
          z3.Or(
            ...truths.map((_, at) => {
              const truth = z3.Bool.const(`truth-${at}`);
              return values.get(`truth-${at}`) === 1n ? truth.not() : truth;
            }),
          ),
        );
      }
    },
    end: () => killThreads(em),
  };
}
