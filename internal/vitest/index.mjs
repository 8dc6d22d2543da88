import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

/** Tests that take long, in a project of their own, so that the others can be run after every change. */
const LONG = 'src/**/*.long.test.ts';

/** @param {string} url @param {object} test */
function configOf(url, test) {
  const root = fileURLToPath(new URL('.', url));
  const conditions = ['@heki/source'];
  return defineConfig({
    root,
    resolve: { conditions },
    ssr: { resolve: { conditions, externalConditions: conditions } },
    test: { name: basename(root), testTimeout: 60_000, ...test },
  });
}

/**
 * The vitest configuration of one package: its tests beside its sources, run on the sources of every package.
 *
 * @param {string} url the `import.meta.url` of the package's vitest.config.ts
 * @param {{ readonly isolate?: boolean }} options `isolate: false` lets all test files of a worker share what they import
 */
export function packageConfig(url, { isolate = true } = {}) {
  return configOf(url, { include: ['src/**/*.test.ts'], exclude: [LONG], isolate });
}

/**
 * The same for a package's long tests, as the project `NAME-long`. A run of everything has both.
 *
 * @param {string} url the `import.meta.url` of the package's vitest.long.config.ts
 */
export function longTestsConfig(url) {
  const name = `${basename(fileURLToPath(new URL('.', url)))}-long`;
  return configOf(url, { name, include: [LONG], isolate: false, testTimeout: 600_000 });
}
