import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    projects: [
      'packages/*',
      'packages/*/vitest.long.config.ts',
      'examples/*/vitest.config.ts',
      'internal/guests',
      'internal/judges',
      'internal/launcher',
      'internal/launcher/vitest.long.config.ts',
      'internal/mutants',
      'internal/vectors',
    ],
    // All processors: by default one stays idle, which is half of two.
    maxWorkers: availableParallelism(),
  },
});
