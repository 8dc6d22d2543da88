import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

/**
 * The vitest configuration of one package: its tests beside its sources, run on the sources of every package.
 *
 * @param {string} url the `import.meta.url` of the package's vitest.config.ts
 */
export function packageConfig(url) {
  const root = fileURLToPath(new URL('.', url));
  const conditions = ['@heki/source'];
  return defineConfig({
    root,
    resolve: { conditions },
    ssr: { resolve: { conditions, externalConditions: conditions } },
    test: { name: basename(root), include: ['src/**/*.test.ts'], testTimeout: 60_000 },
  });
}
