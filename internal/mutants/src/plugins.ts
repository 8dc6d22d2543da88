// What Stryker is told by plugins: a checker that leaves all mutants out but those of the sample, an ignorer for texts of errors, and a
// reporter that writes every result to a file at once, so that a time limit loses nothing.
import { appendFileSync } from 'node:fs';
import { type CheckResult, CheckStatus } from '@stryker-mutator/api/check';
import type { Mutant, MutantResult, StrykerOptions } from '@stryker-mutator/api/core';
import {
  commonTokens,
  declareClassPlugin,
  declareValuePlugin,
  PluginKind,
  tokens,
} from '@stryker-mutator/api/plugin';
import { sampleOf } from './sample.ts';

/** Options of these plugins, beside Stryker's own. */
export interface SampleOptions {
  readonly sample: { readonly size: number; readonly results: string };
}

function optionsOf(options: StrykerOptions): SampleOptions['sample'] {
  return (options as StrykerOptions & SampleOptions).sample;
}

class SampleChecker {
  static readonly inject = tokens(commonTokens.options);
  readonly #size: number;
  readonly #chosen = new Set<string>();

  constructor(options: StrykerOptions) {
    this.#size = optionsOf(options).size;
  }

  async init(): Promise<void> {}

  /** Called once with all mutants. The groups come in the order of the sample, and so do the runs. */
  async group(mutants: Mutant[]): Promise<string[][]> {
    const chosen = sampleOf(mutants, this.#size).map(({ id }) => id);
    for (const id of chosen) this.#chosen.add(id);
    const others = mutants.flatMap(({ id }) => (this.#chosen.has(id) ? [] : [id]));
    return [...chosen.map((id) => [id]), ...(others.length === 0 ? [] : [others])];
  }

  async check(mutants: Mutant[]): Promise<Record<string, CheckResult>> {
    return Object.fromEntries(
      mutants.map(({ id }): [string, CheckResult] => [
        id,
        this.#chosen.has(id)
          ? { status: CheckStatus.Passed }
          : { status: CheckStatus.CompileError, reason: 'not in the sample' },
      ]),
    );
  }
}

class LineReporter {
  static readonly inject = tokens(commonTokens.options);
  readonly #path: string;

  constructor(options: StrykerOptions) {
    this.#path = optionsOf(options).results;
  }

  onMutantTested({ fileName, location, mutatorName, replacement, status, statusReason }: MutantResult): void {
    const line = { fileName, location, mutatorName, replacement, status, statusReason };
    appendFileSync(this.#path, `${JSON.stringify(line)}\n`);
  }
}

/** What an ignorer sees of Babel's path. */
interface Visited {
  readonly node: { readonly type: string; readonly callee?: { readonly name?: string } };
}

/** What follows `new SomeError` is what people read, and no behaviour. */
export const errorTexts = {
  shouldIgnore(path: object): string | undefined {
    const { node } = path as Visited;
    return node.type === 'NewExpression' && node.callee?.name?.endsWith('Error') === true
      ? 'the text of an error'
      : undefined;
  },
};

export const strykerPlugins = [
  declareClassPlugin(PluginKind.Checker, 'sample', SampleChecker),
  declareClassPlugin(PluginKind.Reporter, 'lines', LineReporter),
  declareValuePlugin(PluginKind.Ignore, 'error-texts', errorTexts),
];
