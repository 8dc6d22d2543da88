import { firstBehind } from '@heki/physical-memory';
import { useState } from 'preact/hooks';
import type { Run } from '../memory/bounded-runs.ts';
import type { MemoryRun } from '../memory/memory-data.ts';
import { PAGE_CLASSES } from '../memory/page-class.ts';
import { runDescription } from '../report/describe.ts';
import { number, physicalText } from '../report/words.ts';

const ROWS = 50;

interface MemoryTableProps {
  readonly runs: readonly MemoryRun[];
  /** What the map shows. */
  readonly range: Run;
}

/** What the map shows, in words. */
export function MemoryTable({ runs, range }: MemoryTableProps) {
  const [isOpen, setOpen] = useState(false);
  return (
    <details class="memory-table" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>The map as a table</summary>
      {isOpen && <Rows key={range.start} runs={runs} range={range} />}
    </details>
  );
}

function Rows({ runs, range }: MemoryTableProps) {
  const [from, setFrom] = useState(0);
  const first = firstBehind(runs, range.start);
  const all = firstBehind(runs, range.end, ({ start }) => start + 1) - first;
  const shown = runs.slice(first + from, first + Math.min(from + ROWS, all));
  return (
    <>
      <p aria-live="polite">
        Stretches {number(Math.min(from + 1, all))} to {number(Math.min(from + ROWS, all))} of {number(all)}{' '}
        in {physicalText(range)}
      </p>
      <fieldset class="tools" aria-label="Rows of the table">
        <button type="button" disabled={from === 0} onClick={() => setFrom(Math.max(0, from - ROWS))}>
          Rows before
        </button>
        <button type="button" disabled={from + ROWS >= all} onClick={() => setFrom(from + ROWS)}>
          Rows behind
        </button>
      </fieldset>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls takes the focus (WCAG 2.1.1) */}
      <section class="wide" aria-label="Memory as a table" tabIndex={0}>
        <table>
          <caption>Physical memory by what maps it</caption>
          <thead>
            <tr>
              <th scope="col">guest-physical</th>
              <th scope="col">pages</th>
              <th scope="col">what it is</th>
              <th scope="col">mapped at</th>
            </tr>
          </thead>
          <tbody>
            {shown.map((run) => {
              const { places, more } = runDescription(run);
              return (
                <tr key={run.start}>
                  <th scope="row">
                    <code>{physicalText(run)}</code>
                  </th>
                  <td>{number(run.end - run.start)}</td>
                  <td>{PAGE_CLASSES[run.pageClass].title}</td>
                  <td>
                    {places.map(({ addresses, rights, region }) => (
                      <div key={addresses}>
                        <code>
                          {rights} {addresses}
                        </code>{' '}
                        {region}
                      </div>
                    ))}
                    {more}
                  </td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </section>
    </>
  );
}
