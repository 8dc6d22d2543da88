import { basename } from 'node:path';
import { hex, VIRTUAL_FRAME_END, type VirtualFrame, virtualAddressOf } from '@heki/physical-memory';
import {
  type MappingWalkResult,
  mappings,
  PageRights,
  type SharedTable,
  upperHalfStart,
  walkMappings,
} from '@heki/x86';
import { assumeProcessor } from '../assumed-processor.ts';
import { ExitCode, UsageError } from '../failure.ts';
import { parseVirtualAddress } from '../hex.ts';
import { type CommandIo, createLineWriter, type LineWriter } from '../io.ts';
import { readSidecar } from '../sidecar.ts';
import { MOST_TABLES, openSnapshot } from '../snapshot.ts';
import type { Warning } from '../warning.ts';
import { WALK_FORMATS, type WalkSummary } from './walk-format.ts';

/** Options of `heki walk`. */
export interface WalkOptions {
  readonly range?: string;
  readonly cpu?: string;
  readonly format: keyof typeof WALK_FORMATS;
}

/** `info-tlb` spells shared tables out, as QEMU does, while there are no more mappings than this: 180 MiB of text. */
const MOST_SPELT_OUT = 2 ** 22;

/** `heki walk SNAPSHOT`: the leaves of the kernel half. */
export async function walk(path: string, options: WalkOptions, io: CommandIo): Promise<number> {
  const range = options.range === undefined ? undefined : parseRange(options.range);
  const snapshot = openSnapshot(path);
  const { core, kernelRoot, levels } = snapshot;
  const { warnings } = assumeProcessor(snapshot, await readSidecar(path), options.cpu);
  const start = range?.start ?? upperHalfStart(levels);
  const end = range?.end ?? (VIRTUAL_FRAME_END as VirtualFrame);
  const tables = { memory: core.memory, root: kernelRoot, levels, budget: MOST_TABLES };
  const speltOut =
    options.format === 'info-tlb' && walkMappings(tables, start, end, () => {}).mappings <= MOST_SPELT_OUT;

  const format = WALK_FORMATS[options.format]();
  const writer = createLineWriter(io.stdout);
  const summary: WalkSummary = { leaves: [0, 0, 0], sharedMappings: 0, writableAndExecutable: 0 };
  await writeAll(writer, format.begin());
  /** What came between two leaves. */
  let lines: string[] = [];
  const onShared = (place: SharedTable): void => {
    summary.sharedMappings += place.mappings;
    lines.push(...format.shared(place));
  };
  const walker = mappings({ ...tables, onShared, sharedTables: speltOut ? 'each' : 'once' }, start, end);
  let step = walker.next();
  for (; step.done !== true; step = walker.next()) {
    const leaf = step.value;
    summary.leaves[leaf.level - 1] = (summary.leaves[leaf.level - 1] ?? 0) + 1;
    if ((leaf.effective & (PageRights.WRITE | PageRights.EXECUTE_DISABLE)) === PageRights.WRITE) {
      summary.writableAndExecutable++;
    }
    await writeAll(writer, lines);
    lines = [];
    const line = format.leaf(leaf);
    const written = line === undefined ? undefined : writer.line(line);
    if (written !== undefined) await written;
  }
  await writeAll(writer, [...lines, ...format.end(summary)]);
  await writer.flush();
  await io.stderr.write(remarks(basename(path), options.format, warnings, summary, step.value));
  return step.value.stoppedAt === undefined ? ExitCode.SUCCESS : ExitCode.FAILURE;
}

/** What a reader of the leaves must know besides, by lines. */
function remarks(
  name: string,
  format: WalkOptions['format'],
  warnings: readonly Warning[],
  { sharedMappings }: WalkSummary,
  { absentTables, tables, stoppedAt, tablesAtSeveralLevels }: MappingWalkResult,
): string {
  // The formats for programs have no place for them.
  const lines = warnings.map(({ message }) => `warning: ${message}`);
  if (absentTables > 0)
    lines.push(`${name} lacks ${absentTables} page-table pages: what they map is not listed`);
  if (format === 'info-tlb' && sharedMappings > 0) {
    lines.push(
      `tables that several entries lead to are listed once: QEMU's text has ${sharedMappings} lines more (--format table shows where)`,
    );
  }
  if (tablesAtSeveralLevels > 0) {
    lines.push(
      `${tablesAtSeveralLevels} page-table pages stand at more than one level: tables lead to themselves`,
    );
  }
  if (stoppedAt !== undefined) {
    const va = hex(virtualAddressOf(stoppedAt));
    lines.push(
      `stopped at ${va} after ${tables + absentTables} page-table pages (do tables point to each other?); --range goes on from there`,
    );
  }
  return lines.map((line) => `heki: ${line}\n`).join('');
}

async function writeAll(writer: LineWriter, lines: readonly string[]): Promise<void> {
  for (const line of lines) {
    const written = writer.line(line);
    if (written !== undefined) await written;
  }
}

/** @throws {UsageError} unless `text` is START-END with START below END */
function parseRange(text: string): { start: VirtualFrame; end: VirtualFrame } {
  const [first = '', last, more] = text.split('-');
  if (last === undefined || more !== undefined) {
    throw new UsageError(`"${text}" is no range: expected START-END, as ffffffff81000000-ffffffff82000000`);
  }
  const start = parseVirtualAddress(first);
  const end = parseVirtualAddress(last);
  if (start >= end) throw new UsageError(`the range ${text} is empty: expected START below END`);
  return {
    start: Number(start >> 12n) as VirtualFrame,
    end: Number((end + 0xfffn) >> 12n) as VirtualFrame,
  };
}
