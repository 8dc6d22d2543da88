import Table from 'cli-table3';
import { Bench } from 'tinybench';

/** One way of doing the work that is compared. */
export interface Contender {
  readonly name: string;
  /** Does the whole work once, synchronously. */
  readonly run: () => unknown;
  /** How many things one run handles, for the rate column: `{ count: 35_330, of: 'leaves' }`. */
  readonly work?: { readonly count: number; readonly of: string };
}

export interface Comparison {
  readonly title: string;
  /** The first is the one that the others are measured against. */
  readonly contenders: readonly Contender[];
  /** Milliseconds to spend on each contender, after as much warm-up again. Default 500. */
  readonly time?: number;
}

/** Times every contender in this process, prints a table of medians and gives the medians in milliseconds. */
export async function compare({ title, contenders, time = 500 }: Comparison): Promise<Map<string, number>> {
  const bench = new Bench({ time, warmupTime: time, iterations: 5, warmupIterations: 2, throws: true });
  for (const { name, run } of contenders) {
    bench.add(name, () => {
      run();
    });
  }
  await bench.run();

  const medians = new Map<string, number>();
  for (const task of bench.tasks) {
    const { result } = task;
    if ('latency' in result && result.latency !== undefined) medians.set(task.name, result.latency.p50);
  }
  /** Milliseconds for one thing, so that contenders which handle different numbers of them compare. */
  const cost = ({ name, work }: Contender): number => (medians.get(name) ?? Number.NaN) / (work?.count ?? 1);
  const [first] = contenders;
  const table = new Table({
    head: [title, 'median', 'rate', 'speed against the first'],
    style: { head: [], border: [], compact: true },
    colAligns: ['left', 'right', 'right', 'right'],
  });
  for (const contender of contenders) {
    const { name, work } = contender;
    const median = medians.get(name) ?? Number.NaN;
    const rate = work === undefined ? '' : `${quantity((work.count / median) * 1000)} ${work.of}/s`;
    const speed = first === undefined ? Number.NaN : cost(first) / cost(contender);
    table.push([name, `${median.toPrecision(3)} ms`, rate, `${speed.toPrecision(3)} x`]);
  }
  console.log(table.toString());
  return medians;
}

/** `12_300_000` as `12.3 M`. */
export function quantity(value: number): string {
  if (value >= 1e9) return `${(value / 1e9).toPrecision(3)} G`;
  if (value >= 1e6) return `${(value / 1e6).toPrecision(3)} M`;
  if (value >= 1e3) return `${(value / 1e3).toPrecision(3)} k`;
  return value.toPrecision(3);
}

/** Prints figures that are counted, not timed: a name and numbers in each row. */
export function printTable(head: readonly string[], rows: readonly (readonly string[])[]): void {
  const table = new Table({
    head: [...head],
    style: { head: [], border: [], compact: true },
    colAligns: head.map((_, index) => (index === 0 ? 'left' : 'right')),
  });
  for (const row of rows) table.push([...row]);
  console.log(table.toString());
}
