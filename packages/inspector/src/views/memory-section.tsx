import type { ComponentChildren } from 'preact';
import { useEffect, useMemo, useState } from 'preact/hooks';
import { mapLayers } from '../map/layers.ts';
import { framesOf, gridOf, type MapView, viewAround, viewOf, wholeView } from '../map/map-view.ts';
import type { Run } from '../memory/bounded-runs.ts';
import type { MemoryModel } from '../memory/memory-model.ts';
import { describe, spoken } from '../report/describe.ts';
import type { ReportModel } from '../report/report-model.ts';
import { count, physicalText, sizeText } from '../report/words.ts';
import { Legend } from './legend.tsx';
import { MemoryMap } from './memory-map.tsx';
import { MemoryTable } from './memory-table.tsx';
import { Place } from './place.tsx';

interface MemorySectionProps {
  readonly model: ReportModel;
  readonly memory: MemoryModel;
  readonly selected: number | undefined;
  readonly onSelect: (index: number | undefined) => void;
  /** Frames that are marked where no finding is selected. */
  readonly changed?: readonly Run[] | undefined;
  /** What else is shown of the place under the cursor. */
  readonly extra?: ((range: Run) => ComponentChildren) | undefined;
}

const NONE: readonly Run[] = [];

/** The map of physical memory, what is under its cursor, and the same as a table. */
export function MemorySection({ model, memory, selected, onSelect, extra, changed }: MemorySectionProps) {
  const whole = useMemo(() => wholeView(memory.ramEnd || memory.end, memory.end), [memory]);
  const [view, setView] = useState<MapView>(whole);
  const [cursor, setCursor] = useState(0);
  const [layerId, setLayerId] = useState('rights');
  const layers = useMemo(
    () =>
      mapLayers(
        memory,
        memory.grants.map(
          (_, index) => model.page.hypervisors.find(({ grants }) => grants === index)?.name ?? '',
        ),
        changed,
      ),
    [model, memory, changed],
  );
  const layer = layers.find(({ id }) => id === layerId) ?? layers[0];
  const [pointed, setPointed] = useState<Run>();
  const grid = useMemo(() => gridOf(view), [view]);
  const marked = selected === undefined ? (changed ?? NONE) : (model.findings[selected]?.runs ?? []);
  const first = selected === undefined ? undefined : marked[0];

  // A finding that was selected is where one looks; the view changes only when it is not in it.
  useEffect(() => {
    const last = marked.at(-1);
    if (first === undefined || last === undefined) return;
    setCursor(first.start);
    setView((now) => {
      const { start, end } = framesOf(now);
      return start <= first.start && last.end <= end
        ? now
        : viewOf(now, { start: first.start, end: last.end });
    });
  }, [selected]);

  const atCursor = {
    start: Math.floor(cursor / grid.cellFrames) * grid.cellFrames,
    end: (Math.floor(cursor / grid.cellFrames) + 1) * grid.cellFrames,
  };
  const described = describe(model, pointed ?? atCursor);
  const said = describe(model, atCursor);
  const zoom = (by: number, at: number = cursor): void => setView(viewAround(view, at, view.scale + by));
  const shown = framesOf(view);
  const { block = 0 } = model.page.memory ?? {};
  return (
    <section class="memory" aria-labelledby="memory-title">
      <h2 id="memory-title">Physical memory</h2>
      <p id="map-help">
        Each cell is {sizeText(grid.cellFrames)}, coloured by the worst of it; neighbours on the curve are
        neighbours in memory. Arrow keys move the cursor, with Shift by 8 cells; + and - zoom; 0 shows all;
        Enter selects what was found under the cursor, Escape nothing.
      </p>
      <fieldset class="tools" aria-label="Map">
        <button type="button" onClick={() => zoom(-1)}>
          Zoom in
        </button>
        <button type="button" onClick={() => zoom(1)}>
          Zoom out
        </button>
        <button type="button" onClick={() => setView(whole)}>
          All of RAM
        </button>
        {first !== undefined && (
          <button
            type="button"
            onClick={() =>
              setView(viewOf(view, { start: first.start, end: marked.at(-1)?.end ?? first.end }))
            }
          >
            Zoom to the finding
          </button>
        )}
        <label class="choose">
          Colour by
          <select
            value={layer.id}
            onChange={(event) => setLayerId(event.currentTarget.value)}
            aria-label="What the map is coloured by"
          >
            {layers.map(({ id, title }) => (
              <option key={id} value={id}>
                {title}
              </option>
            ))}
          </select>
        </label>
        <span class="shown">{physicalText(shown)}</span>
      </fieldset>
      <MemoryMap
        memory={memory}
        layer={layer}
        grid={grid}
        cursor={cursor}
        marked={marked}
        onCursor={(frame) => {
          setCursor(frame);
          const { start, end } = framesOf(view);
          if (frame < start || frame >= end) setView(viewAround(view, frame, view.scale));
        }}
        onPoint={setPointed}
        onZoom={zoom}
        onWhole={() => setView(whole)}
        onChoose={(frame) => {
          const range = frame === undefined ? undefined : { start: frame, end: frame + grid.cellFrames };
          const found = range === undefined ? undefined : describe(model, range)?.findings[0];
          onSelect(found?.index);
        }}
      />
      <p class="unseen" aria-live="polite" id="map-live">
        {said === undefined ? '' : spoken(said)}
      </p>
      <Legend layer={layer} />
      {block > 0 && (
        <p>
          There is more than a page can carry: where memory is in many pieces, those within {sizeText(block)}{' '}
          are put together here, and their colour is the worst of them. Findings have all their ranges.
        </p>
      )}
      {described !== undefined && <Place description={described} selected={selected} onSelect={onSelect} />}
      {extra?.(atCursor)}
      <MemoryTable memory={memory} range={shown} />
      <p>{count(memory.runs.length, 'stretch', 'stretches')} of memory with equal mappings.</p>
    </section>
  );
}
