import type { MapLayer } from '../map/map-layer.ts';
import type { MemoryRun } from '../memory/memory-data.ts';
import { count } from '../report/words.ts';

/** What the colours mean, with the pages of each. */
export function Legend({ layer: { classes, runs } }: { readonly layer: MapLayer }) {
  const pages = new Array<number>(classes.length).fill(0);
  for (const run of runs) {
    const { start, end, pageClass, summary }: typeof run & Pick<Partial<MemoryRun>, 'summary'> = run;
    pages[pageClass] = (pages[pageClass] ?? 0) + (summary?.frames ?? end - start);
  }
  return (
    <ul class="legend" aria-label="Colours of the map">
      {classes.map(({ name, title }, index) => (
        <li key={name}>
          <span class={`swatch ${name}`} aria-hidden="true" /> {title}
          {(pages[index] ?? 0) > 0 && `, ${count(pages[index] ?? 0, 'page')}`}
        </li>
      ))}
    </ul>
  );
}
