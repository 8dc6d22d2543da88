// The vitest configuration of the package that HEKI_MUTANTS names, in Stryker's copy of the workspace, which is the working directory.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { packageConfig } from '@heki-internal/vitest';

const package_ = join(process.cwd(), 'packages', process.env.HEKI_MUTANTS ?? '');
const config = packageConfig(pathToFileURL(join(package_, 'vitest.config.ts')).href);

const conditions = ['@heki/source'];

export default {
  ...config,
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: conditions } },
  test: {
    ...config.test,
    // Stryker puts its mutants in by way of vite.
    experimental: { viteModuleRunner: true },
    execArgv: [],
    // The first run counts which test reaches which mutant, and is slow.
    testTimeout: 600_000,
  },
};
