/** A test as a reader of KTAP finds it. */
export interface ParsedTest {
  readonly name: string;
  readonly status: 'ok' | 'not ok' | 'skip';
  readonly reason: string;
  readonly diagnostics: readonly string[];
  /** The tests of a group; `undefined` for a single test. */
  readonly tests: readonly ParsedTest[] | undefined;
}

const RESULT = /^(ok|not ok) (\d+) (.*?)(?: # SKIP ?(.*))?$/;

/** Reads KTAP version 1 by its grammar, and throws at the first line that is not in it. */
export function parseKtap(lines: readonly string[]): readonly ParsedTest[] {
  let at = 0;

  const next = (indentation: string): string | undefined => {
    const line = lines[at];
    return line?.startsWith(indentation) ? line.slice(indentation.length) : undefined;
  };
  const refuse = (why: string): never => {
    throw new Error(`line ${at + 1}, ${JSON.stringify(lines[at])}: ${why}`);
  };

  function level(indentation: string): ParsedTest[] {
    if (next(indentation) !== 'KTAP version 1') refuse('expected the version');
    at++;
    if (indentation !== '' && !(next(indentation) ?? '').startsWith('# Subtest: '))
      refuse('expected a subtest');
    if (indentation !== '') at++;
    const [, plan] = /^1\.\.(\d+)$/.exec(next(indentation) ?? '') ?? [];
    if (plan === undefined) return refuse('expected a plan');
    at++;
    const found: ParsedTest[] = [];
    let diagnostics: string[] = [];
    let tests: ParsedTest[] | undefined;
    while (found.length < Number(plan)) {
      const line = next(indentation);
      if (line === undefined) return refuse('expected more results');
      if (line.startsWith('    ')) {
        if (tests !== undefined) refuse('a second group without a result');
        tests = level(`${indentation}    `);
        continue;
      }
      at++;
      if (/^#( |$)/.test(line)) {
        diagnostics.push(line.slice(2));
        continue;
      }
      const [, verdict, number, name = '', reason] = RESULT.exec(line) ?? [];
      if (Number(number) !== found.length + 1) refuse(`expected the result of test ${found.length + 1}`);
      const status = verdict === 'not ok' ? 'not ok' : reason === undefined ? 'ok' : 'skip';
      found.push({ name, status, reason: reason ?? '', diagnostics, tests });
      diagnostics = [];
      tests = undefined;
    }
    return found;
  }

  const found = level('');
  if (at !== lines.length) refuse('expected the end');
  return found;
}
