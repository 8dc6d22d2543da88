import { createEpt, type EptFault } from '@heki/ept';
import { type CpuProfile, INTEL_VT_RP } from '@heki/x86';
import { ResultCounter, type VectorKind } from './kind.ts';
import { readLines } from './read.ts';
import {
  answerOfTranslate,
  answerOfWalker,
  normalizeAnswer,
  parseTwoStageCase,
  type TwoStageCase,
  type TwoStageModel,
} from './two-stage-case.ts';

/** Guest paging combined with EPT, and a part without EPT. The readable and the fast walk must both give the answer. */
export const twoStage: VectorKind = {
  matches: (path) => /(^|\/)two-stage\/[^/]*\.cases\.txt(\.gz)?$/.test(path),
  run(path) {
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
  },
};

function modelOf(vector: TwoStageCase): TwoStageModel<EptFault> {
  const { eptp, la } = vector;
  const profile = profileOf(vector);
  return {
    profile,
    secondLevel:
      eptp === undefined
        ? undefined
        : (memory) =>
            createEpt({ memory, eptp, profile, controls: { modeBasedExecute: vector.modeBasedExecute } }),
    describeFault: (fault) => {
      const gpa = fault.gpa.toString(16);
      if (fault.kind !== 'ept-violation') {
        return `${fault.kind === 'ept-misconfiguration' ? 'ept-misconfig' : fault.kind} gpa=${gpa}`;
      }
      return `ept-violation qual=${fault.qualification.toString(16)} gpa=${gpa} gla=${la.toString(16)}`;
    },
  };
}

function profileOf(vector: TwoStageCase): CpuProfile {
  const { ept, ...rest } = INTEL_VT_RP;
  const { gigabytePages, maxPhysicalAddressBits, executeOnly, advancedViolationInfo } = vector;
  return {
    ...rest,
    gigabytePages,
    maxPhysicalAddressBits,
    ept: ept && { ...ept, gigabytePages, executeOnly, advancedViolationInfo },
  };
}
