import { readFileSync } from 'node:fs';
import { jitPrograms } from './jit-programs.ts';
import { markdownTable, type Page } from './page.ts';

/** What the code of real kernels consists of. */
export const authenticatedCodePage: Page = {
  file: 'docs/authenticated-code.md',
  parts: { bytes, built, modules, seals, functions, jit: jitPrograms },
};

/** What `heki audit DUMP --vmlinux PACKAGE` counts of the text of a full dump, and what is built of the package beside it, as scripts/text-bytes.mjs has written it. */
interface TextBytes {
  readonly dump: string;
  readonly bytes: number;
  readonly compared: number;
  readonly differing: number;
  /** By kinds of sites. */
  readonly explained: Readonly<Record<string, number>>;
  readonly unexplained: number;
  readonly built: {
    /** From the package, and from what is built. */
    readonly differing: number;
    readonly other: number;
    /** Elements of the boot vector. */
    readonly elements: Counts & { readonly 'return thunk': string };
  };
  readonly sealed: Counts;
  readonly functions: Counts;
  readonly modules: { readonly modules: number; readonly compared: number } & Counts;
}

type Counts = Readonly<Record<string, unknown>>;

/** Kinds of sites, and the elements of a boot vector that decide them. */
const ELEMENTS: readonly (readonly [kind: string, element: string])[] = [
  ['alternative', 'feature and bug bits: alternatives'],
  ['return thunk', 'return thunk'],
  ['paravirt', 'pv_ops'],
  ['endbr seal', 'IBT: endbr seals'],
  ['smp lock', 'UP or SMP: locks'],
  ['runtime constant', 'runtime constants'],
  ['ftrace', "ftrace's no-ops"],
  ['static call', 'static calls'],
  ['jump label', 'jump labels'],
];

function measured(): readonly TextBytes[] {
  return JSON.parse(readFileSync('internal/docs/text-bytes.json', 'utf8'));
}

const counted = (counts: Counts, names: readonly string[]): string[] =>
  names.map((name) => Number(counts[name]).toLocaleString('en'));

/** What is built of package and boot vector, beside memory; and how many elements of each kind the vector has. */
function built(): string {
  const elements = [
    'words of features',
    'bits that a site asks for',
    'pointers',
    'constants',
    'static calls',
    'sites in another state than after boot',
  ];
  return markdownTable(
    [
      'dump',
      'bytes that differ from the package',
      'from what is built',
      'return thunk',
      ...elements,
      'objections',
    ],
    measured().map(({ dump, built: { differing, other, elements: found }, sealed }) => [
      dump,
      differing.toLocaleString('en'),
      `**${other.toLocaleString('en')}**`,
      `\`${found['return thunk']}\``,
      ...counted(found, elements),
      ...counted(sealed, ['objections']),
    ]),
  );
}

function modules(): string {
  return markdownTable(
    ['dump', 'modules', 'bytes of code and constants', 'differ from the files', 'unexplained'],
    measured()
      .filter(({ modules: { modules: count } }) => count > 0)
      .map(({ dump, modules: found }) => [
        dump,
        ...counted(found, ['modules', 'compared', 'differing']),
        `**${Number(found.unexplained).toLocaleString('en')}**`,
      ]),
  );
}

/** Dumps of which the same is counted are one row. */
function merged(rows: readonly (readonly string[])[]): string[][] {
  const dumps = new Map<string, string[]>();
  for (const [dump = '', ...cells] of rows) {
    const key = cells.join(' | ');
    dumps.set(key, [...(dumps.get(key) ?? []), dump]);
  }
  return [...dumps].map(([key, names]) => [names.join('; '), ...key.split(' | ')]);
}

/** Entries of a list page of POKE. */
const POKES = 340;

/** What an owner keeps of each kernel. */
function seals(): string {
  const names = ['sites', 'fentry', 'jump labels', 'static calls', 'keys'];
  return markdownTable(
    ['dump', ...names, 'requests that trace every function'],
    merged(
      measured().map(({ dump, sealed }) => [
        dump,
        ...counted(sealed, names),
        String(Math.ceil(Number(sealed.fentry) / POKES)),
      ]),
    ),
  );
}

/** Where static calls lead, and where they could be led by who may choose any function. */
function functions(): string {
  return markdownTable(
    [
      'dump',
      'symbols of the text',
      'begin with ENDBR',
      'of these sealed',
      'left to call',
      'keys',
      'lead into the text',
      'to modules',
      'nowhere',
      'of trace points',
    ],
    merged(
      measured().map(({ dump, functions: found }) => {
        const [all, sealed] = [Number(found['with ENDBR']), Number(found['of these sealed'])];
        return [
          dump,
          ...counted(found, ['symbols', 'with ENDBR', 'of these sealed']),
          `**${(all === 0 ? Number(found.symbols) : all - sealed).toLocaleString('en')}**`,
          ...counted(found, [
            'keys',
            'lead into the text',
            'lead to modules',
            'lead nowhere',
            'of trace points',
          ]),
        ];
      }),
    ),
  );
}

function bytes(): string {
  const rows = measured();
  const titles = ELEMENTS.map(([, element]) => element);
  const right = (text: number): string => text.toLocaleString('en');
  return markdownTable(
    ['dump', 'as in the package', ...titles, 'unexplained'],
    rows.map((row) => {
      checkRow(row);
      const of = ELEMENTS.map(([kind]) => right(row.explained[kind] ?? 0));
      return [row.dump, right(row.bytes - row.differing), ...of, `**${right(row.unexplained)}**`];
    }),
  );
}

/** @throws {Error} for a row that does not add up: bytes that were not compared, or kinds without a column */
function checkRow({ dump, bytes: all, compared, differing, explained, unexplained }: TextBytes): void {
  const kinds = Object.keys(explained).filter((kind) => ELEMENTS.every(([known]) => known !== kind));
  if (kinds.length > 0) throw new Error(`${dump}: no column for ${kinds.join(', ')}`);
  const sum = Object.values(explained).reduce((total, count) => total + count, unexplained);
  if (compared !== all || sum !== differing)
    throw new Error(`${dump}: ${compared} of ${all} bytes compared, ${differing} differ, ${sum} counted`);
}
