import type { AttackStory } from '../model/inspector-model.ts';

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
