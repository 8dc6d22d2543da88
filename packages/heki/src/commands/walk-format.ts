import { addressOf, hex, virtualAddressOf } from '@heki/physical-memory';
import { type ChosenRoot, infoTlbLine, type ProvenRoot } from '@heki/vmcore';
import { EntryHigh, EntryLow, type MappingLeaf, type MappingWalkResult, PageRights } from '@heki/x86';
import { hex16 } from '../hex.ts';
import { COMMAND_LIMITS } from '../limits/command-limits.ts';
import { reportHeader } from '../report/report-header.ts';
import type { Screen } from '../report/screen.ts';
import { tablesJson, tablesLines } from '../snapshot.ts';
import type { Warning } from '../warning.ts';
import type { LeafPlace, LeafPlaces } from './leaf-places.ts';
import type { SharedRun } from './shared-runs.ts';

/** What a walk found, all in all. */
export interface WalkSummary {
  /** By level: 4 KiB, 2 MiB, 1 GiB. */
  readonly leaves: [number, number, number];
  /** Mappings at places that were passed over, because the tables there had been listed. */
  sharedMappings: number;
  writableAndExecutable: number;
}

/** How leaves become lines. */
export interface WalkFormat {
  begin(tables: ProvenRoot | ChosenRoot, warnings: readonly Warning[]): readonly string[];
  /** A line, or several; `undefined` while it is not complete. */
  leaf(leaf: MappingLeaf): string | undefined;
  /** Lines for places of tables that were listed at another. */
  shared(run: SharedRun): readonly string[];
  end(summary: WalkSummary, result: MappingWalkResult): readonly string[];
}

const SIZES = ['', '4K', '2M', '1G'] as const;
const FLAGS = ['US', 'G', 'A', 'D', 'PWT', 'PCD'] as const;

/** `rw-`: what the leaf, or all levels together, let the kernel do. */
function permissions(writable: boolean, executeDisable: boolean): string {
  return `r${writable ? 'w' : '-'}${executeDisable ? '-' : 'x'}`;
}

const leafPermissions = ({ low, high }: MappingLeaf): string =>
  permissions((low & EntryLow.RW) !== 0, (high & EntryHigh.XD) !== 0);

const effectivePermissions = ({ effective }: MappingLeaf): string =>
  permissions((effective & PageRights.WRITE) !== 0, (effective & PageRights.EXECUTE_DISABLE) !== 0);

function flags(leaf: MappingLeaf): string[] {
  return FLAGS.filter((name) => (leaf.low & EntryLow[name]) !== 0);
}

/** Leaves that follow each other in both address spaces and are otherwise alike. */
interface Run {
  /** The first leaf. */
  readonly first: Readonly<MappingLeaf>;
  frames: number;
  leaves: number;
  readonly place: LeafPlace | undefined;
  readonly symbol: string | undefined;
}

const SHOWN_LOW = FLAGS.reduce((bits, name) => bits | EntryLow[name], EntryLow.RW as number);
const SHOWN_RIGHTS = PageRights.WRITE | PageRights.EXECUTE_DISABLE;

/** Whether the columns show the same of both. */
const isAlike = (one: MappingLeaf, other: MappingLeaf): boolean =>
  one.level === other.level &&
  ((one.low ^ other.low) & SHOWN_LOW) === 0 &&
  ((one.high ^ other.high) & EntryHigh.XD) === 0 &&
  ((one.effective ^ other.effective) & SHOWN_RIGHTS) === 0;

/** Other regions of a leaf that a line names. */
const MOST_REGIONS = 3;

/** `_text, also in kernel rodata, kernel data and 2 more`. */
function namedText(symbol: string | undefined, alsoIn: readonly string[]): string {
  if (alsoIn.length === 0) return symbol === undefined ? '' : `  ${symbol}`;
  const more = alsoIn.length - MOST_REGIONS;
  const also = `also in ${alsoIn.slice(0, MOST_REGIONS).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
  return symbol === undefined ? `  ${also}` : `  ${symbol}, ${also}`;
}

const addresses = (first: number, frames: number): string => {
  const start = BigInt(first) << 12n;
  return `${hex16(start)}-${hex16(start + BigInt(frames) * 4096n - 1n)}`;
};

/** Columns of a line of the table, with the widest flags. */
const TABLE_COLUMNS = 102;

function createTable({ columns: room }: Screen, places: LeafPlaces | undefined): WalkFormat {
  const isNarrow = room < TABLE_COLUMNS;
  /** That of the last line. */
  let region: string | undefined;
  let run: Run | undefined;
  const closed = (): string | undefined => {
    if (run === undefined) return undefined;
    const { first, frames, leaves, place, symbol } = run;
    const heading = place === undefined || place.region === region ? '' : `-- ${place.region}\n`;
    region = place?.region;
    run = undefined;
    const columns = `${SIZES[first.level].padEnd(4)}  ${leafPermissions(first)}   ${effectivePermissions(first)}        ${flags(first).join(' ')}`;
    const range = addresses(first.virtualFrame, frames);
    const physical = hex16(first.guestFrame * 4096);
    const many = String(leaves).padStart(6);
    const named = namedText(symbol, place?.alsoIn ?? []);
    return isNarrow
      ? `${heading}${range}\n  ${physical} ${many} x ${columns.replace(/ {2,}/g, ' ')}${named}`
      : `${heading}${range}  ${physical}  ${many} x ${columns}${named}`;
  };
  const closedLines = (): string[] => closed()?.split('\n') ?? [];
  const head = isNarrow
    ? ['virtual addresses', '  physical address  leaves x size leaf effective flags']
    : ['virtual addresses                  physical address  leaves x size  leaf  effective  flags'];
  return {
    begin: (tables, warnings) => [
      ...tablesLines(tables),
      ...warnings.map(({ message }) => `warning: ${message}`),
      ...head,
    ],
    leaf(leaf) {
      const { virtualFrame, guestFrame, frames } = leaf;
      const place = places?.of(leaf);
      if (
        run !== undefined &&
        run.first.virtualFrame + run.frames === virtualFrame &&
        run.first.guestFrame + run.frames === guestFrame &&
        run.place?.region === place?.region &&
        !run.place?.alsoIn.length &&
        !place?.alsoIn.length &&
        isAlike(run.first, leaf)
      ) {
        run.frames += frames;
        run.leaves++;
        return undefined;
      }
      const done = closed();
      const symbol = place && places?.symbolOf(leaf, place);
      run = { first: leaf, frames, leaves: 1, place, symbol };
      return done;
    },
    shared({ first: { virtualFrame, frames, visitedAt, mappings }, places }) {
      const range = addresses(virtualFrame, frames * places);
      const like = `like ${hex16(BigInt(visitedAt) << 12n)}, the same table`;
      return [...closedLines(), `${range}  ${like}: ${places} x ${mappings} mappings`];
    },
    end: ({ leaves: [small, large, huge], sharedMappings, writableAndExecutable }) => [
      ...closedLines(),
      `${small + large + huge} leaves: ${small} of 4 KiB, ${large} of 2 MiB, ${huge} of 1 GiB; ${writableAndExecutable} writable and executable`,
      ...(sharedMappings === 0
        ? []
        : [`${sharedMappings} more mappings through tables that several entries lead to`]),
    ],
  };
}

function createJson(_: Screen, places: LeafPlaces | undefined): WalkFormat {
  let separator = '';
  const sharedTables: unknown[] = [];
  return {
    begin: (tables, warnings) => [
      `{${JSON.stringify(reportHeader('walk')).slice(1, -1)},`,
      `"tables": ${JSON.stringify(tablesJson(tables))},`,
      `"warnings": ${JSON.stringify(warnings)},`,
      '"leaves": [',
    ],
    leaf(leaf) {
      const place = places?.of(leaf);
      const text = JSON.stringify({
        va: hex(virtualAddressOf(leaf.virtualFrame)),
        pa: hex(addressOf(leaf.guestFrame)),
        pages: leaf.frames,
        size: SIZES[leaf.level],
        entry: hex((BigInt(leaf.high >>> 0) << 32n) | BigInt(leaf.low >>> 0)),
        leaf: leafPermissions(leaf),
        effective: effectivePermissions(leaf),
        user: (leaf.effective & PageRights.USER) !== 0,
        flags: flags(leaf),
        places: leaf.places === 1 ? undefined : leaf.places,
        region: place?.pages.place.region,
        module: place?.pages.place.module,
        alsoIn: place?.alsoIn.length ? place.alsoIn : undefined,
        symbol: place && places?.symbolOf(leaf, place),
      });
      const line = `${separator}${text}`;
      separator = ',';
      return line;
    },
    shared({ first: { virtualFrame, frames, table, visitedAt, mappings }, places }) {
      if (sharedTables.length < COMMAND_LIMITS.sharedTables) {
        sharedTables.push({
          va: hex(virtualAddressOf(virtualFrame)),
          pages: frames * places,
          places,
          table: hex(addressOf(table)),
          listedAt: hex(virtualAddressOf(visitedAt)),
          mappings: mappings * places,
        });
      }
      return [];
    },
    end: ({ sharedMappings }, { absentTables, tablesAtSeveralLevels, stoppedAt }) => [
      '],',
      `"sharedTables": ${JSON.stringify(sharedTables)},`,
      `"sharedMappings": ${sharedMappings},`,
      `"tablesAtSeveralLevels": ${tablesAtSeveralLevels},`,
      `"absentTables": ${absentTables},`,
      `"stoppedAt": ${stoppedAt === undefined ? 'null' : JSON.stringify(hex(virtualAddressOf(stoppedAt)))}}`,
    ],
  };
}

/** The formats of `heki walk`: a table for people, QEMU's own text, and one object for programs. */
export const WALK_FORMATS = {
  table: createTable,
  'info-tlb': (_: Screen): WalkFormat => ({
    begin: () => [],
    leaf: infoTlbLine,
    shared: () => [],
    end: () => [],
  }),
  json: createJson,
} as const;
