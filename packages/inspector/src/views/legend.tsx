import type { MemoryModel } from '../memory/memory-model.ts';
import { PAGE_CLASSES } from '../memory/page-class.ts';
import { count } from '../report/words.ts';

/** What the colours mean, with the pages of each. */
export function Legend({ memory }: { readonly memory: MemoryModel }) {
  const pages = new Array<number>(PAGE_CLASSES.length).fill(0);
  for (const { start, end, pageClass, summary } of memory.runs) {
    pages[pageClass] = (pages[pageClass] ?? 0) + (summary?.frames ?? end - start);
  }
  return (
    <ul class="legend" aria-label="Colours of the map">
      {PAGE_CLASSES.map(({ name, title }, index) => (
        <li key={name}>
          <span class={`swatch ${name}`} aria-hidden="true" /> {title}
          {(pages[index] ?? 0) > 0 && `, ${count(pages[index] ?? 0, 'page')}`}
        </li>
      ))}
    </ul>
  );
}
