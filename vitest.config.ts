import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import type { ViteUserConfig } from 'vitest/config';

// Types only are imported: a vitest that npx fetched for the occasion must get as far as this sentence.
const needed = ['node_modules/vitest', 'packages/x86/node_modules/fast-check'];
if (!needed.every((path) => existsSync(new URL(path, import.meta.url)))) {
  process.stderr.write('The dependencies are not installed: npm start installs all of them and builds.\n');
  process.exit(1);
}

export default {
  test: {
    projects: [
      'packages/*',
      'packages/*/vitest.long.config.ts',
      'examples/*/vitest.config.ts',
      'internal/guests',
      'internal/judges',
      'internal/launcher',
      'internal/launcher/vitest.long.config.ts',
      'internal/lists',
      'internal/lists/vitest.long.config.ts',
      'internal/mutants',
      'internal/site',
      'internal/vectors',
    ],
    // All processors: by default one stays idle, which is half of two.
    maxWorkers: availableParallelism(),
  },
} satisfies ViteUserConfig;
