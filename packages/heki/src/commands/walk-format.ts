import { addressOf, virtualAddressOf } from '@heki/physical-memory';
import { type ChosenRoot, infoTlbLine, type ProvenRoot } from '@heki/vmcore';
import { EntryHigh, EntryLow, type MappingLeaf, PageRights } from '@heki/x86';
import { hex, hex16 } from '../hex.ts';
import { tablesJson, tablesLines } from '../snapshot.ts';
import type { Warning } from '../warning.ts';

/** What a walk found, all in all. */
export interface WalkSummary {
  /** By level: 4 KiB, 2 MiB, 1 GiB. */
  readonly leaves: [number, number, number];
  writableAndExecutable: number;
  absentTables: number;
}

/** How leaves become lines. `leaf` gets the same object each time. */
export interface WalkFormat {
  begin(tables: ProvenRoot | ChosenRoot, warnings: readonly Warning[]): readonly string[];
  /** A line, or `undefined` while it is not complete. */
  leaf(leaf: MappingLeaf): string | undefined;
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

function createTable(): WalkFormat {
  let run: Run | undefined;
  const line = ({ first, frames, leaves, columns }: Run): string => {
    const start = BigInt(first.virtualFrame) << 12n;
    const last = start + BigInt(frames) * 4096n - 1n;
    return `${hex16(start)}-${hex16(last)}  ${hex16(first.guestFrame * 4096)}  ${String(leaves).padStart(6)} x ${columns}`;
  };
  return {
    begin: (tables, warnings) => [
      ...tablesLines(tables),
      ...warnings.map(({ message }) => `warning: ${message}`),
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
      const done = run;
      run = { first: { virtualFrame, guestFrame }, frames, leaves: 1, columns };
      return done === undefined ? undefined : line(done);
    },
    end: ({ leaves: [small, large, huge], writableAndExecutable }) => [
      ...(run === undefined ? [] : [line(run)]),
      `${small + large + huge} leaves: ${small} of 4 KiB, ${large} of 2 MiB, ${huge} of 1 GiB; ${writableAndExecutable} writable and executable`,
    ],
  };
}

function createJson(): WalkFormat {
  let separator = '';
  return {
    begin: (tables, warnings) => [
      `{"tables": ${JSON.stringify(tablesJson(tables))},`,
      `"warnings": ${JSON.stringify(warnings)},`,
      '"leaves": [',
    ],
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
      });
      const line = `${separator}${text}`;
      separator = ',';
      return line;
    },
    end: ({ absentTables }) => ['],', `"absentTables": ${absentTables}}`],
  };
}

/** The formats of `heki walk`: a table for people, QEMU's own text, and one object for programs. */
export const WALK_FORMATS = {
  table: createTable,
  'info-tlb': (): WalkFormat => ({ begin: () => [], leaf: infoTlbLine, end: () => [] }),
  json: createJson,
} as const;
