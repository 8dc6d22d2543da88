import { describe, expect, test } from 'vitest';
import type { AttackStory } from '../model/inspector-model.ts';
import { beginningOf, instructionAt, otherWay, partingOf, positionsOf } from './stories.ts';

const machine = { name: '', title: '' };
/** @param steps the result of each, and the signs of its instructions: `done load store` */
const story = (...steps: string[]): AttackStory => ({
  machine,
  verdict: '',
  evidence: '',
  timeline: { machine, lanes: [], events: [], outcome: '' },
  steps: steps.map((step) => {
    const [result = '', ...signs] = step.split(' ');
    return {
      ...{ text: '', result, detail: null, by: null },
      instructions: signs.map((sign) => ({ start: 0, end: 1, sign, access: null })),
    };
  }),
});

describe('two machines', () => {
  test('part at the first step that comes out otherwise, or that one of them does not take', () => {
    expect(partingOf(story('done', 'done'), story('done', 'faulted'))).toBe(1);
    expect(partingOf(story('done', 'done'), story('done'))).toBe(1);
    expect(partingOf(story('done'), story('done', 'done'))).toBe(1);
  });

  test('do not part where every step agrees, whatever it says', () => {
    const [a, b] = [story('done', 'faulted'), story('done', 'faulted')];
    expect(partingOf(a, { ...b, verdict: 'blocked' })).toBeUndefined();
    expect(partingOf(story(), story())).toBeUndefined();
  });

  test('part within a step at the first instruction that leads elsewhere', () => {
    const left = story('done load', 'done load store');
    const right = story('done load', 'faulted load fault');
    expect(beginningOf(left, right)).toEqual({ step: 1, instruction: 1 });
    expect(instructionAt(right, { step: 1, instruction: 1 })?.sign).toBe('fault');
    expect(instructionAt(story(), { step: 1, instruction: 1 })).toBeUndefined();
  });

  test('part behind the same instructions where the answer to them is another', () => {
    expect(beginningOf(story('done load vmcall'), story('refused load vmcall'))).toEqual({
      step: 0,
      instruction: 1,
    });
  });

  test('may go other ways before, and come out alike', () => {
    const left = story('done load store', 'done store');
    const right = story('done load load store', 'faulted fault');
    expect(otherWay(left, right)).toEqual({ step: 0, instruction: 1 });
    expect(beginningOf(left, right)).toEqual({ step: 1, instruction: 0 });
    expect(positionsOf(left, right)).toHaveLength(4);
    expect(beginningOf(left, left)).toEqual({ step: 0, instruction: 0 });
  });

  test('are both at each step, of which one may have no instruction', () => {
    expect(positionsOf(story('done', 'done load'), story('done'))).toEqual([
      { step: 0, instruction: 0 },
      { step: 1, instruction: 0 },
    ]);
  });
});
