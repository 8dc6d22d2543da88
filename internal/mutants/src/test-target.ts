// Has Stryker test the mutants of one package, in a process of its own that a time limit can end: NAME SIZE RESULTS.
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Stryker } from '@stryker-mutator/core';
import { chosenMutants, EXCLUDED_MUTATIONS } from './chosen-mutants.ts';
import type { SampleOptions } from './plugins.ts';
import { sourcesOf, TARGETS } from './targets.ts';

const [name = '', size, results = ''] = process.argv.slice(2);
const target = TARGETS.find((one) => one.name === name);
if (target === undefined) throw new Error(`no package ${name} is mutated`);

process.env.HEKI_MUTANTS = name;
const sample: SampleOptions = { sample: { size: Number(size), results } };
const { all, ranges } = await chosenMutants(sourcesOf(target), Number(size));
writeFileSync(results, `${all}\n`);
const stryker = new Stryker({
  ...sample,
  // No more than the sample is put into the sources: the tests would be ten times as slow over all of them.
  mutate: ranges,
  // The sandbox: the package's sources, and what its tests read. Its dependencies are linked, and of them only the manifests of the
  // compiler are looked for here.
  ignorePatterns: [
    ...['/*', '!/packages', '!/fixtures', '!/vectors', '!/tsconfig.base.json'],
    ...['/packages/*/*', '!/packages/*/tsconfig.json', `!/packages/${name}/*`, 'node_modules', 'dist'],
  ],
  tempDirName: '.mutants',
  cleanTempDir: 'always',
  testRunner: 'vitest',
  vitest: { configFile: fileURLToPath(new URL('../tests.config.mjs', import.meta.url)), related: false },
  coverageAnalysis: 'perTest',
  concurrency: 1,
  checkers: ['sample'],
  ignorers: ['error-texts'],
  mutator: { excludedMutations: [...EXCLUDED_MUTATIONS] },
  disableTypeChecks: false,
  reporters: ['lines'],
  plugins: [
    fileURLToPath(import.meta.resolve('@stryker-mutator/vitest-runner')),
    fileURLToPath(new URL('plugins.js', import.meta.url)),
  ],
  warnings: false,
  allowConsoleColors: false,
  // Beside half as much again as the tests took without a mutant: the machine may be busy with other things by then.
  timeoutMS: 120_000,
  // The whole run has a limit of its own.
  dryRunTimeoutMinutes: 24 * 60,
  logLevel: 'warn' as never,
});
try {
  await stryker.runMutationTest();
} catch {
  // Stryker has told why.
  process.exitCode = 1;
}
