import { printTable } from '@heki-internal/bench';
import type { Run } from '../memory/bounded-runs.ts';
import { encodeMemory, memoryRun } from '../memory/memory-data.ts';
import { decodeMemory } from '../memory/memory-model.ts';
import { drawMap } from '../views/draw-map.ts';
import { classesOfCells, markedCells, usedPart } from './cells.ts';
import { mapLayers } from './layers.ts';
import { cellWith, framesOf, gridOf, type MapView, viewAround, wholeView } from './map-view.ts';

/** Frames of 1 TiB. */
const FRAMES = 2 ** 28;
/** As many runs as a page carries, over all of it. */
const RUNS = 2 ** 15;
const STEP = FRAMES / RUNS;

const place = (region: string, rights: string) => ({ region, rights, leaf: rights, size: '4K' });
const memory = decodeMemory(
  encodeMemory({
    ram: [{ start: 0, end: FRAMES }],
    runs: Array.from({ length: RUNS }, (_, index) => {
      const rights = ['rw-', 'r-x', 'r--'][index % 3] ?? '';
      return memoryRun({
        start: index * STEP,
        end: index * STEP + STEP - (index % 7) * 512,
        rights,
        places: [place(index % 3 === 1 ? 'kernel text' : 'direct map', rights)],
        distances: [0],
        unlisted: 0,
      });
    }),
    tables: Array.from({ length: RUNS / 4 }, (_, index) => ({
      start: index * 4 * STEP,
      end: index * 4 * STEP + 9,
    })),
    grants: [],
  }),
);

/** A canvas that takes what is drawn, and fills nothing. */
const context = { fillRect() {}, strokeRect() {} };
const canvas = { getContext: () => context } as unknown as HTMLCanvasElement;
const classes = Array.from({ length: 16 }, (_, index) => `#${index.toString(16).repeat(6)}`);
const colours = { classes, background: '#fff', cursor: '#000', mark: '#000', table: '#000' };

/** From all of memory to one page, with four steps aside at each, and back. */
function* views(): Generator<MapView> {
  const whole = wholeView(FRAMES, FRAMES);
  const scales = Array.from({ length: whole.scale - 2 }, (_, index) => whole.scale - index);
  for (const scale of [...scales, ...scales.reverse()]) {
    for (let aside = 0; aside < 5; aside++) {
      yield viewAround(whole, (FRAMES / 3 + aside * 4 ** scale) % FRAMES, scale);
    }
  }
}

function drawn(view: MapView, layer: ReturnType<typeof mapLayers>[number], marks: readonly Run[]): void {
  const grid = gridOf(view);
  const cells = classesOfCells(grid, memory, layer);
  const cursor = cellWith(grid, framesOf(view).start);
  const drawing = { ...usedPart(cells, grid.side), side: grid.side, cells, cursor, colours };
  drawMap(canvas, { ...drawing, marks: markedCells(grid, marks) });
}

/** Milliseconds of processor time: what else the machine does is not the page's. */
function spent(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** What every frame of the script takes, some times over; ascending. */
function timesOf(layer: ReturnType<typeof mapLayers>[number], marks: readonly Run[]): number[] {
  const times: number[] = [];
  for (let turn = 0; turn < 12; turn++) {
    for (const view of views()) {
      const start = spent();
      drawn(view, layer, marks);
      // The first turns warm up.
      if (turn > 1) times.push(spent() - start);
    }
  }
  return times.sort((a, b) => a - b);
}

const at = (times: readonly number[], part: number) =>
  `${(times[Math.min(times.length - 1, Math.floor(times.length * part))] ?? 0).toFixed(2)} ms`;
const layers = mapLayers(memory, []);
const found = memory.runs.filter((_, index) => index % 5 === 0);
printTable(
  ['processor time of a frame of the map at 1 TiB', 'frames', 'median', 'p99', 'longest'],
  layers.slice(0, 2).flatMap((layer) =>
    (
      [
        ['', []],
        [', a finding all over it', found],
      ] as const
    ).map(([marked, marks]) => {
      const times = timesOf(layer, marks);
      return [
        `by ${layer.title}${marked}`,
        String(times.length),
        at(times, 0.5),
        at(times, 0.99),
        at(times, 1),
      ];
    }),
  ),
);
