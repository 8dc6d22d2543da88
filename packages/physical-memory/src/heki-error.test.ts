import { expect, test } from 'vitest';
import { PhysicalMemoryError } from './error.ts';
import { HekiError } from './heki-error.ts';

/** The classes as another copy of the package has them. */
const copy = () => {
  class HekiError extends Error {}
  class PhysicalMemoryError extends HekiError {}
  return new PhysicalMemoryError('of another copy');
};

test('an error is an instance of its classes, and of no other', () => {
  expect(new PhysicalMemoryError('x') instanceof HekiError).toBe(true);
  expect(new PhysicalMemoryError('x') instanceof PhysicalMemoryError).toBe(true);
  expect(new HekiError('x') instanceof PhysicalMemoryError).toBe(false);
  expect(new Error('x') instanceof HekiError).toBe(false);
  expect(({ name: 'HekiError' } as unknown) instanceof HekiError).toBe(false);
});

test('an error of another copy of the packages is an instance, too', () => {
  expect(copy() instanceof HekiError).toBe(true);
  expect(copy() instanceof PhysicalMemoryError).toBe(true);
});

test('a foreign class of the same name is none', () => {
  class PhysicalMemoryError extends Error {}
  const foreign: unknown = new PhysicalMemoryError('x');
  expect(foreign instanceof HekiError).toBe(false);
});
