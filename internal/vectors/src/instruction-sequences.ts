import { ResultCounter, type VectorKind } from './kind.ts';
import { readLines } from './read.ts';
import { runOnModel } from './sequences/model.ts';
import { type Instruction, parseSequences } from './sequences/sequence.ts';

/** Instruction sequences, a case a line: what every instruction ends with, and what it leaves. */
export const instructionSequences: VectorKind = {
  matches: (path) => /(^|\/)instruction-sequences\/[^/]*\.txt(\.gz)?$/.test(path),
  run(path) {
    const result = new ResultCounter();
    for (const sequence of parseSequences(readLines(path))) {
      const instructions = sequence.steps.filter((step): step is Instruction => step.kind === 'instruction');
      const got = runOnModel(sequence);
      const wrong = instructions.findIndex(({ outcome }, i) => outcome !== got[i]);
      result.count(wrong < 0, () => {
        const { user, name, args, outcome } = instructions[wrong] as Instruction;
        const text = [user ? 'user' : '', name, ...args.map((arg) => arg.toString(16))].join(' ').trim();
        return `${sequence.name}: ${text}\n  expected ${outcome}\n  got      ${got[wrong]}`;
      });
    }
    return result;
  },
};
