import { packageConfig } from '@heki-internal/vitest';
import { mergeConfig } from 'vitest/config';

/** Browsers and servers start slowly where other work goes on: a wait ends when something hangs, not when it is slow. */
const PATIENCE = 180_000;

export default mergeConfig(packageConfig(import.meta.url), {
  test: { testTimeout: PATIENCE, hookTimeout: PATIENCE, expect: { poll: { timeout: PATIENCE / 2 } } },
});
