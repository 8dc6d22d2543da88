import { describe, expect, test } from 'vitest';
import { coveredFrames, memoryTableGeometry } from './geometry.ts';

const shape = (options: Parameters<typeof memoryTableGeometry>[0]) => {
  const { levels, physicalBits } = memoryTableGeometry(options);
  return `${levels.map(({ entries, shift }) => `${entries}@${shift}`).join(' ')} = ${physicalBits}`;
};

describe('the geometry', () => {
  test('has five levels under 5-level paging', () => {
    expect(shape({ la57: true })).toBe('512@12 512@21 512@30 512@39 512@48 = 57');
  });

  test('has a level of one entry where a kernel folds the P4D', () => {
    expect(shape({ la57: false })).toBe('512@12 512@21 512@30 1@39 512@39 = 48');
    expect(shape({ fiveLevelKernel: false })).toBe('512@12 512@21 512@30 1@39 512@39 = 48');
  });

  test('of a kernel without 5-level support ended at the folded level (B-G8)', () => {
    expect(shape({ fiveLevelKernel: false, foldedLevelCounted: true })).toBe(
      '512@12 512@21 512@30 1@39 = 39',
    );
    expect(shape({ foldedLevelCounted: true })).toBe('512@12 512@21 512@30 1@39 512@39 = 48');
  });

  test('numbers its levels and masks their indices', () => {
    expect(memoryTableGeometry({}).levels.map(({ number, mask }) => [number, mask])).toEqual([
      [0, 511],
      [1, 511],
      [2, 511],
      [3, 0],
      [4, 511],
    ]);
  });

  test('covers at most the frames that there can be', () => {
    expect(coveredFrames(memoryTableGeometry({ la57: true }))).toBe(2 ** 40);
    expect(coveredFrames(memoryTableGeometry({}))).toBe(2 ** 36);
  });
});
