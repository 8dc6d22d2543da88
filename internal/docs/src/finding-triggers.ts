import { readdirSync, readFileSync } from 'node:fs';
import type { FindingKind } from '@heki/audit';
import { once } from './once.ts';
import { printedWithFindings } from './printed.ts';

type FindingId = FindingKind['id'];

/** Of the dumps in `fixtures/` those that are shown: the first that has a kind of finding. */
const FIXTURES = [
  'fixtures/k61-256-tampered-text-alias.elf.gz',
  'fixtures/k61-256-rodataoff.elf.gz',
  'fixtures/stage61-rest_init.elf.gz',
  'fixtures/foreign/k61-clearcpuid-smep.elf.gz',
  'fixtures/foreign/k61-crash-kernel.elf.gz',
  'fixtures/foreign/k612-kfence.elf.gz',
  'fixtures/foreign/text-not-in-direct-map.elf.gz',
];
const TESTS = 'packages/audit/src/findings';
const HOME = 'https://github.com/heki-project/heki/blob/main';

/** Of each kind, the first fixture in which it is found, and what is found there. */
const shown = once(async () => {
  const found = new Map<string, { readonly fixture: string; readonly summary: string }>();
  for (const fixture of FIXTURES) {
    const { findings } = JSON.parse(await printedWithFindings(['audit', fixture, '--no-heki', '--json']));
    for (const { id, summary } of findings) if (!found.has(id)) found.set(id, { fixture, summary });
  }
  return found;
});

/** A fixture in which a kind is found, if one is among those that are shown. */
export async function fixtureOf(id: FindingId): Promise<string | undefined> {
  return (await shown()).get(id)?.fixture;
}

/** A test, and all that is written from its title to the next one's. */
interface TitledTest {
  readonly file: string;
  readonly title: string;
  readonly text: string;
}

/** Where a test begins, or one row of a table of them, and its title in either kind of quotes. */
const TITLE = /^ *(?:name:|test\()\s*(?:'((?:[^'\\]|\\.)*)'|"([^"]*)"),/gm;

const tests = once(() =>
  readdirSync(TESTS)
    .filter((file) => file.endsWith('.test.ts'))
    .sort()
    .flatMap((file): TitledTest[] => {
      const text = readFileSync(`${TESTS}/${file}`, 'utf8');
      const titles = [...text.matchAll(TITLE)];
      return titles.map((match, index) => ({
        file,
        title: match[1] ?? match[2] ?? '',
        text: text.slice(match.index + match[0].length, titles[index + 1]?.index),
      }));
    }),
);

/** The test that expects a finding of this kind: the one that expects nothing else, where there is such. */
function testOf(id: FindingId): TitledTest | undefined {
  const alone = new RegExp(`found: \\['\\w+ ${id}'\\]`);
  const expected = new RegExp(
    `(?:'(?:info|low|medium|high|critical) |id: '|=== '|toContain\\('|toEqual\\(\\[')${id}'`,
  );
  return tests().find(({ text }) => alone.test(text)) ?? tests().find(({ text }) => expected.test(text));
}

/**
 * What triggers a finding, as Markdown: a command over a fixture, which was run just now, or the test that tampers with a kernel so.
 *
 * @throws {Error} when nothing does
 */
export async function triggerOf(id: FindingId): Promise<string> {
  const found = (await shown()).get(id);
  if (found !== undefined) {
    const command = `heki audit ${found.fixture} --no-heki`;
    return ['```sh', command, '```', '', `finds: ${found.summary}`].join('\n');
  }
  const test = testOf(id);
  if (test === undefined) throw new Error(`${id}: no fixture and no test in ${TESTS} triggers it`);
  return `The test “${test.title}” tampers with a kernel so that it is found: [${test.file}](${HOME}/${TESTS}/${test.file}).`;
}
