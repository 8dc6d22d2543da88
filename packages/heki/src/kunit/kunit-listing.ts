import { CHANGED_EXPECTATIONS, KUNIT_SUITES, kunitTests } from '@heki/kunit';

/** The tests with their numbers, and what the ports expect otherwise than the published ones, as lines for people. */
export function kunitListing(): string[] {
  const tests = KUNIT_SUITES.flatMap((suite) => [
    suite,
    ...kunitTests(suite).map((name, index) => `  ${String(index + 1).padStart(2)} ${name}`),
  ]);
  const changes = CHANGED_EXPECTATIONS.flatMap(({ test, published, port, why }) => [
    `  ${test}`,
    `    published: ${published}`,
    `    port:      ${port}`,
    `    why:       ${why}`,
  ]);
  return [
    ...tests,
    '',
    'What the ports, which run under hardened, expect otherwise than the published tests:',
    ...changes,
  ];
}
