import { markdownTable, type Page } from './page.ts';
import { printed, printedWithFindings } from './printed.ts';

/** What `heki backends --json` prints of one. */
interface Backend {
  readonly name: string;
  readonly title: string;
  readonly unjudged: boolean;
  readonly capabilities: Readonly<Record<string, string>>;
  readonly cost: Readonly<
    Record<'boot' | 'moduleLoad', Readonly<Record<'calls' | 'exits' | 'flushes' | 'asked', number>>>
  > & {
    readonly protected: boolean;
  };
  readonly work: Readonly<Record<string, string>>;
}

/** What `heki protect --json` prints of an attack. */
interface Attack {
  readonly name: string;
  readonly with: { readonly outcome: string; readonly by: string | null };
}

const backends: readonly Backend[] = JSON.parse(await printed(['backends', '--json'])).backends;
const attacks: ReadonlyMap<string, readonly Attack[]> = new Map(
  await Promise.all(
    backends.map(async ({ name }): Promise<[string, Attack[]]> => {
      const { attacks: all } = JSON.parse(await printed(['protect', '--hypervisor', name, '--json']));
      return [name, all];
    }),
  ),
);

/** For each hypervisor the tests of each of KUnit's suites that pass, fail and are skipped. */
const kunit: ReadonlyMap<string, ReadonlyMap<string, string>> = new Map(
  await Promise.all(
    backends.map(async ({ name }): Promise<[string, Map<string, string>]> => {
      const suites = (await printedWithFindings(['kunit', '--hypervisor', name]))
        .split('# Subtest: ')
        .slice(1);
      return [name, new Map(suites.map((text) => [text.split('\n', 1)[0] ?? '', totals(text)]))];
    }),
  ),
);

/** The outcome of the tests of a suite, whose lines in KTAP are indented. */
function totals(ktap: string): string {
  const ends = [...ktap.matchAll(/^ +(not ok|ok) .*?(# SKIP|$)/gm)];
  const skipped = ends.filter(([, , skip]) => skip !== '').length;
  const failed = ends.filter(([, end]) => end === 'not ok').length;
  return `${ends.length - failed - skipped} / ${failed} / ${skipped}`;
}

/** The comparison of the hypervisors. */
export const backendsPage: Page = {
  file: 'docs/backends.md',
  parts: { capabilities, costs, attacks: attackTable, kunit: kunitTable },
};

const head = ['', ...backends.map(({ name, unjudged }) => (unjudged ? `${name} (*unjudged*)` : name))];

function capabilities(): string {
  const rows = Object.keys(backends[0]?.capabilities ?? {}).map((row) => [
    row,
    ...backends.map((backend) => backend.capabilities[row] ?? ''),
  ]);
  return `${backends.map(({ name, title }) => `- \`${name}\`: ${title}`).join('\n')}\n\n${markdownTable(head, rows)}`;
}

function costs(): string {
  const cost = (of: 'boot' | 'moduleLoad', label: string): string[][] =>
    (['calls', 'exits', 'flushes', 'asked'] as const).map((what) => [
      `${label}: ${what === 'asked' ? 'owner asked' : what}`,
      ...backends.map((backend) => String(backend.cost[of][what])),
    ]);
  const work = Object.keys(backends[0]?.work ?? {}).map((name) => [
    name,
    ...backends.map((backend) => backend.work[name] ?? ''),
  ]);
  return markdownTable(head, [...cost('boot', 'a boot'), ...cost('moduleLoad', 'a module load'), ...work]);
}

function attackTable(): string {
  const names = attacks.get(backends[0]?.name ?? '')?.map(({ name }) => name) ?? [];
  return markdownTable(
    head,
    names.map((name) => [
      name,
      ...backends.map((backend) => {
        const found = attacks.get(backend.name)?.find((attack) => attack.name === name)?.with;
        if (found === undefined) return '';
        return found.by === null ? found.outcome : `${found.outcome} by ${found.by}`;
      }),
    ]),
  );
}

function kunitTable(): string {
  const suites = [...(kunit.get(backends[0]?.name ?? '')?.keys() ?? [])];
  return markdownTable(
    head,
    suites.map((suite) => [suite, ...backends.map(({ name }) => kunit.get(name)?.get(suite) ?? '')]),
  );
}
