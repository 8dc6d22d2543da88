import { describe, expect, test } from 'vitest';
import type { AttackStory } from '../model/inspector-model.ts';
import { partingOf } from './stories.ts';

const story = (...results: string[]): AttackStory => ({
  machine: { name: '', title: '' },
  verdict: '',
  evidence: '',
  steps: results.map((result) => ({ text: '', result, detail: null, by: null })),
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
});
