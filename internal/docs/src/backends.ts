import { once } from './once.ts';
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

const backends = once(
  async (): Promise<readonly Backend[]> => JSON.parse(await printed(['backends', '--json'])).backends,
);

/** For each hypervisor what becomes of each attack. */
async function attacks(): Promise<ReadonlyMap<string, readonly Attack[]>> {
  return new Map(
    await Promise.all(
      (await backends()).map(async ({ name }): Promise<[string, Attack[]]> => {
        const { attacks: all } = JSON.parse(await printed(['protect', '--hypervisor', name, '--json']));
        return [name, all];
      }),
    ),
  );
}

/** For each hypervisor the tests of each of KUnit's suites that pass, fail and are skipped. */
async function kunit(): Promise<ReadonlyMap<string, ReadonlyMap<string, string>>> {
  return new Map(
    await Promise.all(
      (await backends()).map(async ({ name }): Promise<[string, Map<string, string>]> => {
        const suites = (await printedWithFindings(['kunit', '--hypervisor', name]))
          .split('# Subtest: ')
          .slice(1);
        return [name, new Map(suites.map((text) => [text.split('\n', 1)[0] ?? '', totals(text)]))];
      }),
    ),
  );
}

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

const headOf = (all: readonly Backend[]): string[] => [
  '',
  ...all.map(({ name, unjudged }) => (unjudged ? `${name} (*unjudged*)` : name)),
];

async function capabilities(): Promise<string> {
  const all = await backends();
  const rows = Object.keys(all[0]?.capabilities ?? {}).map((row) => [
    row,
    ...all.map((backend) => backend.capabilities[row] ?? ''),
  ]);
  return `${all.map(({ name, title }) => `- \`${name}\`: ${title}`).join('\n')}\n\n${markdownTable(headOf(all), rows)}`;
}

async function costs(): Promise<string> {
  const all = await backends();
  const cost = (of: 'boot' | 'moduleLoad', label: string): string[][] =>
    (['calls', 'exits', 'flushes', 'asked'] as const).map((what) => [
      `${label}: ${what === 'asked' ? 'owner asked' : what}`,
      ...all.map((backend) => String(backend.cost[of][what])),
    ]);
  const work = Object.keys(all[0]?.work ?? {}).map((name) => [
    name,
    ...all.map((backend) => backend.work[name] ?? ''),
  ]);
  return markdownTable(headOf(all), [
    ...cost('boot', 'a boot'),
    ...cost('moduleLoad', 'a module load'),
    ...work,
  ]);
}

async function attackTable(): Promise<string> {
  const all = await backends();
  const outcomes = await attacks();
  const names = outcomes.get(all[0]?.name ?? '')?.map(({ name }) => name) ?? [];
  return markdownTable(
    headOf(all),
    names.map((name) => [
      name,
      ...all.map((backend) => {
        const found = outcomes.get(backend.name)?.find((attack) => attack.name === name)?.with;
        if (found === undefined) return '';
        return found.by === null ? found.outcome : `${found.outcome} by ${found.by}`;
      }),
    ]),
  );
}

async function kunitTable(): Promise<string> {
  const all = await backends();
  const outcomes = await kunit();
  const suites = [...(outcomes.get(all[0]?.name ?? '')?.keys() ?? [])];
  return markdownTable(
    headOf(all),
    suites.map((suite) => [suite, ...all.map(({ name }) => outcomes.get(name)?.get(suite) ?? '')]),
  );
}
