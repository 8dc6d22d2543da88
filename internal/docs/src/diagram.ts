import { readdirSync, readFileSync } from 'node:fs';
import { instance } from '@viz-js/viz';
import { once } from './once.ts';
import type { Page } from './page.ts';

const viz = once(instance);

/** How all drawings look, on a light page and on a dark one. */
const LOOK = `
  graph [bgcolor="white" pad=0.3 nodesep=0.25 ranksep=0.45 fontname="Helvetica"];
  node [shape=box style="rounded,filled" fillcolor="#eef2f7" color="#8395a7" fontname="Helvetica" fontsize=12 height=0.35 margin="0.24,0.08"];
  edge [color="#8395a7" fontname="Helvetica" fontsize=11 arrowsize=0.7];`;

/** A page that is a drawing, of Graphviz's text. */
function drawing(file: string, title: string, statements: () => string): Page {
  return { file, parts: { [title]: () => draw(title, statements()) } };
}

async function draw(title: string, statements: string): Promise<string> {
  const svg = (await viz()).renderString(`digraph "${title}" {${LOOK}\n${statements}\n}`, { format: 'svg' });
  return svg.slice(svg.indexOf('<svg')).replace(/(<svg[^>]*>)/, `$1\n<title>${title}</title>`);
}

/** From a kernel's edit of its page tables to the processor. */
export const layersPicture: Page = drawing(
  'docs/layers.svg',
  'layers of Heki',
  () => `
  subgraph cluster_guest { label="guest"; color="#8395a7"; style=rounded;
    tables [label="page tables\\nof the guest"];
    core [label="Heki core: counts, for each page,\\nmappings that read, write, execute"];
    list [label="page list\\nin guest memory"];
    tables -> core [label="every change"];
    core -> list [label="unions of rights"];
  }
  subgraph cluster_host { label="hypervisor"; color="#8395a7"; style=rounded;
    attributes [label="attributes of guest frames"];
    ept [label="EPT, or AMD's nested tables:\\nleaves with R, W, XS, XU"];
    attributes -> ept [label="written when the guest touches a page"];
  }
  processor [label="processor: walks both, and takes the smaller right" fillcolor="#d6f5dd"];
  list -> attributes [label="VMCALL 14"];
  tables -> processor;
  ept -> processor;
  processor -> attributes [label="violation: asks for a leaf,\\nor the guest gets a #PF" style=dashed constraint=false];`,
);

/** The packages, and who imports whom. */
export const packagesPicture: Page = drawing('docs/packages.svg', 'packages', () => {
  const imports = new Map(readdirSync('packages').map((name) => [name, importsOf(name)]));
  const floors = floorsOf(imports);
  const ranks = [...new Set(floors.values())].map((floor) => {
    const same = [...floors].filter(([, its]) => its === floor).map(([name]) => `"${name}"`);
    return `{ rank=same; ${same.join('; ')} }`;
  });
  const arrows = [...imports].flatMap(([name, its]) =>
    its
      .filter((one) => !its.some((other) => reaches(imports, other, one)))
      .map((one) => `"${name}" -> "${one}"`),
  );
  return [...ranks, ...arrows].join('\n');
});

function importsOf(name: string): readonly string[] {
  const { dependencies = {} } = JSON.parse(readFileSync(`packages/${name}/package.json`, 'utf8'));
  return Object.keys(dependencies)
    .filter((one) => one.startsWith('@heki/'))
    .map((one) => one.slice('@heki/'.length));
}

/** Whether `from` imports `to`, by however many others between. */
function reaches(imports: ReadonlyMap<string, readonly string[]>, from: string, to: string): boolean {
  return (imports.get(from) ?? []).some((one) => one === to || reaches(imports, one, to));
}

/** The floor of each package, the lowest 0: one above the highest of what it imports. */
function floorsOf(imports: ReadonlyMap<string, readonly string[]>): ReadonlyMap<string, number> {
  const floors = new Map<string, number>();
  const floorOf = (name: string): number => {
    const known = floors.get(name);
    if (known !== undefined) return known;
    const floor = Math.max(-1, ...(imports.get(name) ?? []).map(floorOf)) + 1;
    floors.set(name, floor);
    return floor;
  };
  for (const name of imports.keys()) floorOf(name);
  return floors;
}
