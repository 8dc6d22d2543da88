import type { Description } from '../report/describe.ts';
import { count } from '../report/words.ts';

interface PlaceProps {
  readonly description: Description;
  readonly selected: number | undefined;
  readonly onSelect: (index: number | undefined) => void;
}

/** What is at a place of the map. */
export function Place({ description, selected, onSelect }: PlaceProps) {
  const { title, runs, moreRuns, holds, findings, enforced } = description;
  return (
    <div class="place" id="place">
      <h3>{title}</h3>
      {runs.map((run) => (
        <div key={run.run.start}>
          <p>{run.title}</p>
          <ul class="addresses">
            {run.places.map(({ addresses, rights, region }) => (
              <li key={addresses}>
                <code>
                  {rights} {addresses}
                </code>{' '}
                {region}
              </li>
            ))}
            {run.more !== undefined && <li>{run.more}</li>}
          </ul>
        </div>
      ))}
      {runs.length === 0 && <p>Nothing in the kernel's half maps it.</p>}
      {moreRuns > 0 && <p>{count(moreRuns, 'more stretch', 'more stretches')}: zoom in to see each.</p>}
      {holds.map((text) => (
        <p key={text}>{text}</p>
      ))}
      {enforced.length > 0 && (
        <>
          <h4>Granted to the kernel under a hypervisor</h4>
          <dl class="facts">
            {enforced.map(({ name, text }) => (
              <div key={name}>
                <dt>{name}</dt>
                <dd>{text}</dd>
              </div>
            ))}
          </dl>
        </>
      )}
      {findings.length > 0 && (
        <>
          <h4>Findings here</h4>
          <ul>
            {findings.map(({ index, severity, title: name }) => (
              <li key={index}>
                <button type="button" aria-pressed={index === selected} onClick={() => onSelect(index)}>
                  <span class={`severity ${severity}`}>{severity}</span> {name}
                </button>
              </li>
            ))}
          </ul>
        </>
      )}
    </div>
  );
}
