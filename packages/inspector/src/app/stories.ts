import type { AttackInstruction, AttackStory } from '../model/inspector-model.ts';

/** Where one is in two stories at once. */
export interface StoryPosition {
  /** The number of a step, from 0. */
  readonly step: number;
  /** The number of an instruction of it; 0 where it has none. */
  readonly instruction: number;
}

/**
 * The first step that does not come out on one machine as on the other, by its number from 0: another result, or another reason for it;
 * `undefined` where all steps agree. Addresses and values may differ: kernels lie elsewhere.
 */
export function partingOf(left: AttackStory, right: AttackStory): number | undefined {
  const length = Math.max(left.steps.length, right.steps.length);
  for (let index = 0; index < length; index++) {
    const [a, b] = [left.steps[index], right.steps[index]];
    if (a?.result !== b?.result || a?.by !== b?.by) return index;
  }
  return undefined;
}

/** The first instruction that leads to something else on one machine than on the other, or that one of them alone executes. @param from a step */
export function otherWay(left: AttackStory, right: AttackStory, from = 0): StoryPosition | undefined {
  return positionsOf(left, right).find((at) => {
    if (at.step < from) return false;
    return instructionAt(left, at)?.sign !== instructionAt(right, at)?.sign;
  });
}

/** Where one can be: each instruction of each step, of that machine which has more. */
export function positionsOf(left: AttackStory, right: AttackStory): StoryPosition[] {
  const steps = Math.max(left.steps.length, right.steps.length);
  return Array.from({ length: steps }, (_, step) => {
    const lengths = [left, right].map((story) => story.steps[step]?.instructions.length ?? 0);
    return Array.from({ length: Math.max(1, ...lengths) }, (_, instruction) => ({ step, instruction }));
  }).flat();
}

/** What a machine executes there; `undefined` where it executes nothing. */
export function instructionAt(
  { steps }: AttackStory,
  { step, instruction }: StoryPosition,
): AttackInstruction | undefined {
  return steps[step]?.instructions[instruction];
}

/** Where one begins: the instruction that goes another way in the step where they part, or the last of it; where they do not, the first that does. */
export function beginningOf(left: AttackStory, right: AttackStory): StoryPosition {
  const parting = partingOf(left, right);
  const other = otherWay(left, right, parting);
  if (parting === undefined) return other ?? { step: 0, instruction: 0 };
  if (other?.step === parting) return other;
  return (
    positionsOf(left, right).findLast(({ step }) => step === parting) ?? { step: parting, instruction: 0 }
  );
}
