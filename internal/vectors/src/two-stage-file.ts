import { ResultCounter, type VectorResult } from './kind.ts';
import { readLines } from './read.ts';
import {
  answerOfTranslate,
  answerOfWalker,
  normalizeAnswer,
  parseTwoStageCase,
  type TwoStageCase,
  type TwoStageModel,
} from './two-stage-case.ts';

/** Whether `path` is a file of cases in a folder of this name. */
export function isCasesFile(path: string, folder: string): boolean {
  const [name = '', parent] = path.split('/').reverse();
  return parent === folder && /\.cases\.txt(\.gz)?$/.test(name);
}

/** Runs a file of cases against the answers beside it. The readable and the fast walk must both give the answer. */
export function runCasesFile<Fault>(
  path: string,
  modelOf: (vector: TwoStageCase) => TwoStageModel<Fault>,
): VectorResult {
  const cases = readLines(path);
  const answers = readLines(path.replace(/\.cases\.txt/, '.answers.txt'));
  const result = new ResultCounter();
  const lines = Math.max(cases.length, answers.length);
  for (let i = 0; i < lines; i++) {
    const line = cases[i];
    const answer = answers[i];
    if (line === undefined || answer === undefined) {
      result.count(false, () => `line ${i + 1}: no ${line === undefined ? 'case' : 'answer'} for it`);
      continue;
    }
    const vector = parseTwoStageCase(line);
    const model = modelOf(vector);
    const expected = normalizeAnswer(answer);
    const readable = answerOfTranslate(vector, model);
    const fast = answerOfWalker(vector, model);
    result.count(
      readable === expected && fast === expected,
      () => `${line}\n  expected  ${expected}\n  translate ${readable}\n  walker    ${fast}`,
    );
  }
  return result;
}
