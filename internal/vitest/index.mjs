import { availableParallelism } from 'node:os';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

/** Tests that take long, in a project of their own, so that the others can be run after every change. */
const LONG = 'src/**/*.long.test.ts';

/** How Node imports the sources of every package as they are. */
const SOURCES = ['--conditions=@heki/source', '--import', new URL('sources.mjs', import.meta.url).href];

/** All test files of a worker share what they import: no test may leave a trace in a module. */
const IN_NODE = {
  isolate: false,
  experimental: { viteModuleRunner: false, nodeLoader: false },
  execArgv: SOURCES,
};

/** For the long ones, and where other work goes on. */
const PATIENCE = 600_000;

/**
 * @param {string} url @param {object} test
 */
function configOf(url, test) {
  const root = fileURLToPath(new URL('.', url));
  const name = basename(root);
  return defineConfig({ root, test: { name, testTimeout: 60_000, ...IN_NODE, ...test } });
}

/**
 * The vitest configuration of one package: its tests beside its sources, run on the sources of every package.
 *
 * @param {string} url the `import.meta.url` of the package's vitest.config.ts
 */
export function packageConfig(url) {
  return configOf(url, { include: ['src/**/*.test.ts'], exclude: [LONG] });
}

/**
 * The same for a package's long tests, as the project `NAME-long`. A run of everything has both.
 *
 * @param {string} url the `import.meta.url` of the package's vitest.long.config.ts
 */
export function longTestsConfig(url) {
  const name = `${basename(fileURLToPath(new URL('.', url)))}-long`;
  return configOf(url, { name, include: [LONG], testTimeout: PATIENCE });
}

/**
 * The same for the tests of all packages as one project, as `npm test` runs them: a worker imports once what they share. With a project for
 * each package it does so for each, which takes longer than most packages' tests.
 *
 * @param {string} root the folder of the repository
 */
export function allTestsConfig(root) {
  const include = ['{packages,internal,examples}/*/src/**/*.test.ts'];
  return defineConfig({
    root,
    test: { ...IN_NODE, include, testTimeout: PATIENCE, maxWorkers: availableParallelism() },
  });
}
