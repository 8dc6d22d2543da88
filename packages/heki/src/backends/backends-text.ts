import type { CapabilityRow } from '@heki/hypervisor';
import { type EventCount, WORKLOADS } from '@heki/scenario';
import Table from 'cli-table3';
import type { Colours } from '../colours.ts';

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
/** Where nobody tells how wide the terminal is. */
const WIDTH = 110;

const COSTS: { readonly [what in keyof EventCount]: string } = {
  calls: 'calls',
  exits: 'exits',
  flushes: 'flushes',
  asked: 'owner asked',
};

/** The backends side by side, in as many tables as the width asks for. */
export function backendsText(
  all: readonly ComparedBackend[],
  colours: Colours,
  width: number = WIDTH,
): string {
  const together = Math.max(1, Math.floor((width - LABEL - 2) / (COLUMN + 1)));
  const parts: string[] = [];
  for (let first = 0; first < all.length; first += together) {
    parts.push(table(all.slice(first, first + together), colours));
  }
  const titles = all.map(
    ({ name, title, processor, unjudged }) =>
      `${colours.bold(name)}: ${title}, on ${processor}${unjudged ? colours.dim(' (unjudged: no outside implementation has judged the model)') : ''}`,
  );
  return `${titles.join('\n')}\n\n${parts.join('\n')}\n`;
}

function table(backends: readonly ComparedBackend[], { bold, green, yellow, red }: Colours): string {
  const verdict = (text: string): string =>
    text === 'works' ? green(text) : text === 'refused' ? yellow(text) : red(text);
  const result = new Table({
    head: ['', ...backends.map(({ name }) => name)].map((head) => bold(head)),
    style: { head: [], border: [], compact: true },
    wordWrap: true,
    colWidths: [LABEL, ...backends.map(() => COLUMN)],
  });
  for (const [row, { name }] of (backends[0]?.capabilities ?? []).entries()) {
    result.push([name, ...backends.map(({ capabilities }) => capabilities[row]?.value ?? '')]);
  }
  for (const [of, label] of [
    ['boot', 'a boot'],
    ['moduleLoad', 'a module load'],
  ] as const) {
    for (const what of ['calls', 'exits', 'flushes', 'asked'] as const) {
      result.push([`${label}: ${COSTS[what]}`, ...backends.map(({ cost }) => String(cost[of][what]))]);
    }
  }
  for (const { name } of WORKLOADS) {
    result.push([`work: ${name}`, ...backends.map(({ work }) => verdict(work.get(name) ?? ''))]);
  }
  return result.toString();
}
