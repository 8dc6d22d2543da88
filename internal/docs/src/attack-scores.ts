import { readFileSync } from 'node:fs';
import * as echarts from 'echarts';
import type { Page } from './page.ts';

/** Written with the matrix, and drawn from what stands there: one is never newer than the other. */
const MATRIX = 'docs/attacks.md';
const ROW = /^\| ([\w-]+) \| (\d+) of (\d+) \| (\d+) of (\d+) \|$/gm;
const [WIDTH, ROW_HEIGHT] = [820, 44];
const TITLE = 'attacks stopped, and work that goes on, by machine';

/** What each machine stops, beside what of a kernel's work goes on: the pair of bars of each. */
export const attackScoresPicture: Page = {
  file: 'docs/attack-scores.svg',
  parts: { [TITLE]: draw },
};

interface Score {
  readonly machine: string;
  readonly stopped: number;
  readonly goesOn: number;
}

function scores(): Score[] {
  const found = [...readFileSync(MATRIX, 'utf8').matchAll(ROW)].map(
    ([, machine = '', stopped, attacks, goesOn, work]) => ({
      machine,
      stopped: share(Number(stopped), Number(attacks)),
      goesOn: share(Number(goesOn), Number(work)),
    }),
  );
  if (found.length === 0) throw new Error(`${MATRIX} has no table of scores`);
  return found;
}

/** In percent. */
const share = (part: number, of: number): number => (of === 0 ? 0 : Math.round((100 * part) / of));

function draw(): string {
  // From top to bottom, as in the table.
  const all = scores().toReversed();
  const height = 90 + all.length * ROW_HEIGHT;
  const chart = echarts.init(null, null, { renderer: 'svg', ssr: true, width: WIDTH, height });
  const label = { show: true, position: 'right', formatter: '{c} %' } as const;
  chart.setOption({
    animation: false,
    backgroundColor: '#ffffff',
    textStyle: { fontFamily: 'Helvetica, Arial, sans-serif' },
    legend: { top: 8, itemGap: 48, data: ['attacks stopped', 'legitimate work that goes on'] },
    grid: { left: 190, right: 60, top: 44, bottom: 36 },
    xAxis: { type: 'value', min: 0, max: 100, axisLabel: { formatter: '{value} %' } },
    yAxis: { type: 'category', data: all.map(({ machine }) => machine), axisLabel: { fontSize: 13 } },
    series: [
      {
        type: 'bar',
        name: 'legitimate work that goes on',
        data: all.map(({ goesOn }) => goesOn),
        itemStyle: { color: '#9fb3c8' },
        label,
      },
      {
        type: 'bar',
        name: 'attacks stopped',
        data: all.map(({ stopped }) => stopped),
        itemStyle: { color: '#176b37' },
        label,
      },
    ],
  });
  const svg = chart.renderToSVGString();
  chart.dispose();
  return (
    svg
      .slice(svg.indexOf('<svg'))
      // What happens under a mouse pointer is no part of a picture.
      .replace(/<style.*<\/style>/s, '')
      .replaceAll(/ class="zr\d+-cls-\d+"/g, '')
      .replace(/(<svg[^>]*>)/, `$1\n<title>${TITLE}</title>`)
  );
}
