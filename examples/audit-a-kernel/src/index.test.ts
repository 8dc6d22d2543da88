import { outputOf, readmeOutput } from '@heki-internal/vitest/readme';
import { expect, test } from 'vitest';

test('prints what its README shows', async () => {
  expect(await outputOf(() => import('./index.ts'))).toBe(readmeOutput(import.meta.url));
});
