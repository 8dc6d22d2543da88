import type { CapabilityRow } from '@heki/hypervisor';
import { type EventCount, WORKLOADS } from '@heki/scenario';
import type { Screen } from '../report/screen.ts';
import { table } from '../report/table.ts';

/** What the comparison has of one hypervisor. */
export interface ComparedBackend {
  readonly name: string;
  readonly title: string;
  /** Name of the CPU profile that it runs on. */
  readonly processor: string;
  /** No outside implementation has judged the model of it. */
  readonly unjudged: boolean;
  readonly capabilities: readonly CapabilityRow[];
  readonly cost: { readonly boot: EventCount; readonly moduleLoad: EventCount };
  /** What becomes of each legitimate work, by its name. */
  readonly work: ReadonlyMap<string, string>;
}

/** Columns of a table, borders included; what is said of a backend takes several lines. */
const LABEL = 26;
const COLUMN = 26;
/** Where the output takes lines of any length. */
const WIDEST = 110;

const COSTS: { readonly [what in keyof EventCount]: string } = {
  calls: 'calls',
  exits: 'exits',
  flushes: 'flushes',
  asked: 'owner asked',
};

/** The backends side by side, in as many tables as the width asks for. */
export function backendsText(all: readonly ComparedBackend[], screen: Screen): string[] {
  const { bold, dim } = screen.colours;
  const columns = Number.isFinite(screen.columns) ? screen.columns : WIDEST;
  const together = Math.max(1, Math.floor((columns - LABEL - 2) / (COLUMN + 1)));
  const lines = all.map(
    ({ name, title, processor, unjudged }) =>
      `${bold(name)}: ${title}, on ${processor}${unjudged ? dim(' (unjudged: no outside implementation has judged the model)') : ''}`,
  );
  for (let first = 0; first < all.length; first += together) {
    lines.push('', ...comparison(all.slice(first, first + together), { ...screen, columns }));
  }
  return lines;
}

function comparison(backends: readonly ComparedBackend[], screen: Screen): string[] {
  const { green, yellow, red } = screen.colours;
  const verdict = (text: string): string =>
    text === 'works' ? green(text) : text === 'refused' ? yellow(text) : red(text);
  const costs = (['boot', 'moduleLoad'] as const).flatMap((of) =>
    (['calls', 'exits', 'flushes', 'asked'] as const).map((what) => [
      `${of === 'boot' ? 'a boot' : 'a module load'}: ${COSTS[what]}`,
      ...backends.map(({ cost }) => String(cost[of][what])),
    ]),
  );
  return table(
    {
      head: ['', ...backends.map(({ name }) => name)],
      rows: [
        ...(backends[0]?.capabilities ?? []).map(({ name }, row) => [
          name,
          ...backends.map(({ capabilities }) => capabilities[row]?.value ?? ''),
        ]),
        ...costs,
        ...WORKLOADS.map(({ name }) => [
          `work: ${name}`,
          ...backends.map(({ work }) => verdict(work.get(name) ?? '')),
        ]),
      ],
    },
    screen,
  );
}
