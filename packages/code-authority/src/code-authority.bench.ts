import { createRam, type Gfn, PAGE_SIZE, type Pfn } from '@heki/physical-memory';
import { compare } from '@heki-internal/bench';
import { complete } from './answer.ts';
import { type CodeAuthority, createCodeAuthority } from './code-authority.ts';
import { buildImage } from './images/build-image.ts';
import type { CodeImage, Site } from './images/code-image.ts';

/** The core of Debian's 6.12: 16 MiB of text, 59,416 places in it that may change. */
const TEXT_PAGES = 4096;
const SITES = 59_416;
/** An average module of its 1,138: 17.7 kB of code, 537 relocations, 65 sites. */
const MODULE = { pages: 5, relocations: 537, sites: 65 };
const POKES = 340;
const BASE = 0xffff_ffff_8100_0000n;
const MODULE_BASE = 0xffff_ffff_c000_0000n;
const FILE = (TEXT_PAGES + 0x100) as Gfn;
const PLACE = TEXT_PAGES + 0x200;

const site = (offset: number, index: number): Site => ({
  kind: index % 3 === 0 ? 'jump-label' : 'fentry',
  at: { part: 0, offset },
  length: 5,
  key: 'traced',
  target: { part: 0, offset: 0 },
  targets: ['f'],
});

const distance = Math.floor((TEXT_PAGES * PAGE_SIZE - 64) / SITES);
const kernel: CodeImage = {
  name: 'kernel',
  parts: [{ kind: 'text', bytes: new Uint8Array(TEXT_PAGES * PAGE_SIZE).fill(0xcc) }],
  relocations: [],
  sites: Array.from({ length: SITES }, (_, index) => site(16 + index * distance, index)),
  exports: new Map([['f', { part: 0, offset: 0 }]]),
  changeable: new Set(['traced']),
};
const driver: CodeImage = {
  name: 'driver',
  parts: [{ kind: 'text', bytes: new Uint8Array(MODULE.pages * PAGE_SIZE).fill(0xcc) }],
  relocations: Array.from({ length: MODULE.relocations }, (_, index) => ({
    at: { part: 0, offset: 0x1000 + 8 * index },
    kind: 'rel32',
    to: 'f',
    addend: -4,
  })),
  sites: Array.from({ length: MODULE.sites }, (_, index) => site(16 * index, index)),
  exports: new Map(),
  changeable: new Set(['traced']),
};

const frames = (start: number, count: number): Gfn[] =>
  Array.from({ length: count }, (_, index) => (start + index) as Gfn);
const states = new Array<number>(SITES).fill(0);

/** A kernel in memory, not sealed yet. */
function booted(): CodeAuthority {
  const memory = createRam<Pfn>({ ranges: [{ start: 0 as Pfn, end: (TEXT_PAGES + 0x400) as Pfn }] });
  const built = buildImage(kernel, [BASE], states, () => undefined);
  const words = built.ok ? new Uint32Array(built.parts[0]?.buffer ?? new ArrayBuffer(0)) : new Uint32Array();
  for (let page = 0; page < TEXT_PAGES; page++)
    memory.writablePage(page as Pfn)?.set(words.subarray(page * 1024, (page + 1) * 1024));
  return createCodeAuthority({
    host: {
      memory,
      hostFrame: (gfn) => Number(gfn) as Pfn,
      setRights: () => {},
      setOtherRights: () => {},
      flush: () => {},
      stopped: (work) => work(),
      secret: new Uint8Array(32),
      processors: 1,
    },
    readImage: () => driver,
  });
}

function expectOk(answer: { readonly ok: boolean }): void {
  if (!answer.ok) throw new Error(JSON.stringify(answer));
}
const seal = (owner: CodeAuthority): void =>
  expectOk(complete(owner.seal(kernel, { bases: [BASE], frames: [frames(0, TEXT_PAGES)] }, states)));

const unsealed = booted();
const back = unsealed.checkpoint();
const sealed = booted();
seal(sealed);
let state = 0;

await compare({
  title: 'SEAL: 16 MiB of text, 59,416 sites',
  contenders: [
    {
      name: 'made from the file, and compared',
      run() {
        back();
        seal(unsealed);
      },
      work: { count: TEXT_PAGES, of: 'pages' },
    },
  ],
});
await compare({
  title: 'LOAD and RETIRE: a module of 5 pages, 537 relocations, 65 sites',
  contenders: [
    {
      name: 'made, and taken back',
      run() {
        const file = { pages: [FILE], length: PAGE_SIZE };
        const answer = complete(
          sealed.load(file, { bases: [MODULE_BASE], frames: [frames(PLACE, MODULE.pages)] }),
        );
        expectOk(answer);
        if (answer.ok) expectOk(complete(sealed.retire(answer.value)));
      },
      work: { count: 1, of: 'modules' },
    },
  ],
});
await compare({
  title: 'POKE: a page of 340 sites',
  contenders: [
    {
      name: 'all of them with the processors stopped once',
      run() {
        state = 1 - state;
        const pokes = Array.from({ length: POKES }, (_, index) => ({ image: 1, site: index * 50, state }));
        expectOk(complete(sealed.poke(pokes)));
      },
      work: { count: POKES, of: 'sites' },
    },
  ],
});
