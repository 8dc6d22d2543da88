import { addressOf, hex, virtualAddressOf } from '@heki/physical-memory';
import { infoTlbLine } from '@heki/vmcore';
import { EntryHigh, EntryLow, type MappingLeaf, PageRights, type SharedTable } from '@heki/x86';
import { hex16 } from '../hex.ts';

/** What a walk found, all in all. */
export interface WalkSummary {
  /** By level: 4 KiB, 2 MiB, 1 GiB. */
  readonly leaves: [number, number, number];
  /** Mappings at places that were passed over, because the tables there had been listed. */
  sharedMappings: number;
  writableAndExecutable: number;
}

/** How leaves become lines. `leaf` gets the same object each time. */
export interface WalkFormat {
  begin(): readonly string[];
  /** A line, or `undefined` while it is not complete. */
  leaf(leaf: MappingLeaf): string | undefined;
  /** Lines for a place of tables that were listed at another. */
  shared(place: SharedTable): readonly string[];
  end(summary: WalkSummary): readonly string[];
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
  first: { readonly virtualFrame: number; readonly guestFrame: number };
  frames: number;
  leaves: number;
  readonly columns: string;
}

/** Neighbouring places of one table. */
interface SharedRun {
  readonly first: SharedTable;
  places: number;
}

const addresses = (first: number, frames: number): string => {
  const start = BigInt(first) << 12n;
  return `${hex16(start)}-${hex16(start + BigInt(frames) * 4096n - 1n)}`;
};

function createTable(): WalkFormat {
  let run: Run | undefined;
  let sharedRun: SharedRun | undefined;
  const closed = (): readonly string[] => {
    const lines = [
      ...(run === undefined ? [] : [line(run)]),
      ...(sharedRun === undefined ? [] : [sharedLine(sharedRun)]),
    ];
    run = undefined;
    sharedRun = undefined;
    return lines;
  };
  const sharedLine = ({ first, places }: SharedRun): string => {
    const { virtualFrame, frames, visitedAt, mappings } = first;
    const range = addresses(virtualFrame, frames * places);
    return `${range}  like ${hex16(BigInt(visitedAt) << 12n)}, the same table: ${places} x ${mappings} mappings`;
  };
  const line = ({ first, frames, leaves, columns }: Run): string => {
    return `${addresses(first.virtualFrame, frames)}  ${hex16(first.guestFrame * 4096)}  ${String(leaves).padStart(6)} x ${columns}`;
  };
  return {
    begin: () => [
      'virtual addresses                  physical address  leaves x size  leaf  effective  flags',
    ],
    leaf(leaf) {
      const { virtualFrame, guestFrame, frames } = leaf;
      const columns = `${SIZES[leaf.level].padEnd(4)}  ${leafPermissions(leaf)}   ${effectivePermissions(leaf)}        ${flags(leaf).join(' ')}`;
      if (
        run !== undefined &&
        run.columns === columns &&
        run.first.virtualFrame + run.frames === virtualFrame &&
        run.first.guestFrame + run.frames === guestFrame
      ) {
        run.frames += frames;
        run.leaves++;
        return undefined;
      }
      const done = closed();
      run = { first: { virtualFrame, guestFrame }, frames, leaves: 1, columns };
      return done[0];
    },
    shared(place) {
      const end =
        (sharedRun?.first.virtualFrame ?? 0) + (sharedRun?.first.frames ?? 0) * (sharedRun?.places ?? 0);
      const { table, level, visitedAt } = sharedRun?.first ?? {};
      if (
        sharedRun !== undefined &&
        table === place.table &&
        level === place.level &&
        visitedAt === place.visitedAt &&
        end === place.virtualFrame
      ) {
        sharedRun.places++;
        return [];
      }
      const done = closed();
      sharedRun = { first: place, places: 1 };
      return done;
    },
    end: ({ leaves: [small, large, huge], sharedMappings, writableAndExecutable }) => [
      ...closed(),
      `${small + large + huge} leaves: ${small} of 4 KiB, ${large} of 2 MiB, ${huge} of 1 GiB; ${writableAndExecutable} writable and executable`,
      ...(sharedMappings === 0
        ? []
        : [`${sharedMappings} more mappings through tables that several entries lead to`]),
    ],
  };
}

function createJson(): WalkFormat {
  let separator = '';
  const element = (text: string): string => {
    const line = `${separator}${text}`;
    separator = ',';
    return line;
  };
  return {
    begin: () => ['['],
    leaf(leaf) {
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
        ...(leaf.places === 1 ? {} : { places: leaf.places }),
      });
      return element(text);
    },
    shared: ({ virtualFrame, frames, table, visitedAt, mappings }) => [
      element(
        JSON.stringify({
          va: hex(virtualAddressOf(virtualFrame)),
          pages: frames,
          sharedTable: hex(addressOf(table)),
          visitedAt: hex(virtualAddressOf(visitedAt)),
          mappings,
        }),
      ),
    ],
    end: () => [']'],
  };
}

/** The formats of `heki walk`: a table for people, QEMU's own text, and an array of objects. */
export const WALK_FORMATS = {
  table: createTable,
  'info-tlb': (): WalkFormat => ({ begin: () => [], leaf: infoTlbLine, shared: () => [], end: () => [] }),
  json: createJson,
} as const;
