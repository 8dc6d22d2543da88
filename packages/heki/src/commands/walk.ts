import { basename } from 'node:path';
import { VIRTUAL_FRAME_END, type VirtualFrame, virtualAddressOf } from '@heki/physical-memory';
import { lowerHalfEnd, PageRights, upperHalfStart, walkMappings } from '@heki/x86';
import { ExitCode, UsageError } from '../failure.ts';
import { hex, parseVirtualAddress } from '../hex.ts';
import { type CommandIo, createLineWriter, type LineWriter } from '../io.ts';
import { type AddressSpaceOptions, MOST_TABLES, openAddressSpace, tablesLines } from '../snapshot.ts';
import { tableWarnings } from '../warning.ts';
import { WALK_FORMATS, type WalkSummary } from './walk-format.ts';

/** Options of `heki walk`. */
export interface WalkOptions extends AddressSpaceOptions {
  readonly range?: string;
  readonly user?: boolean;
  readonly format: keyof typeof WALK_FORMATS;
}

/** Table pages walked before what was found is written: bounds what is held in memory. */
const TABLES_AT_A_TIME = 256;

/** `heki walk SNAPSHOT`: the leaves of the kernel's half, or of the user's. Exit code 1 when tables were left out. */
export async function walk(path: string, options: WalkOptions, io: CommandIo): Promise<number> {
  const range = options.range === undefined ? undefined : parseRange(options.range);
  const isKernels = options.user !== true && (range === undefined || range.start >= 2 ** 51);
  const { core, tables } = openAddressSpace(path, options, isKernels ? 'kernel' : 'user');
  const format = WALK_FORMATS[options.format]();
  const writer = createLineWriter(io.stdout);
  const summary: WalkSummary = { leaves: [0, 0, 0], writableAndExecutable: 0, absentTables: 0 };

  const warnings = tableWarnings(core, tables);
  await writeAll(writer, format.begin(tables, warnings));
  const whole =
    options.user === true
      ? { start: 0 as VirtualFrame, end: lowerHalfEnd(tables.levels) }
      : { start: upperHalfStart(tables.levels), end: VIRTUAL_FRAME_END as VirtualFrame };
  const { end } = range ?? whole;
  let start: VirtualFrame | undefined = (range ?? whole).start;
  let walked = 0;
  while (start !== undefined && walked < MOST_TABLES) {
    const lines: string[] = [];
    const result = walkMappings(
      { memory: core.memory, root: tables.root, levels: tables.levels, budget: TABLES_AT_A_TIME },
      start,
      end,
      (leaf) => {
        summary.leaves[leaf.level - 1] = (summary.leaves[leaf.level - 1] ?? 0) + 1;
        if ((leaf.effective & (PageRights.WRITE | PageRights.EXECUTE_DISABLE)) === PageRights.WRITE) {
          summary.writableAndExecutable++;
        }
        const line = format.leaf(leaf);
        if (line !== undefined) lines.push(line);
      },
    );
    walked += result.tables;
    summary.absentTables += result.absentTables;
    await writeAll(writer, lines);
    start = result.stoppedAt;
  }
  await writeAll(writer, format.end(summary));
  await writer.flush();

  if (options.format === 'info-tlb') {
    // QEMU's text has no place for it: its reader takes the tables to be those in CR3.
    if (!('origin' in tables && tables.origin.kind === 'cr3')) {
      await io.stderr.write(`heki: ${tablesLines(tables).join(' ')}\n`);
    }
    for (const { message } of warnings) await io.stderr.write(`heki: warning: ${message}\n`);
  }
  if (summary.absentTables > 0) {
    await io.stderr.write(
      `heki: ${basename(path)} lacks ${summary.absentTables} page-table pages: what they map is not listed\n`,
    );
  }
  if (start !== undefined) {
    await io.stderr.write(
      `heki: stopped at ${hex(virtualAddressOf(start))} after ${walked} page-table pages (do tables point to each other?); --range goes on from there\n`,
    );
    return ExitCode.FAILURE;
  }
  return summary.absentTables > 0 ? ExitCode.FAILURE : ExitCode.SUCCESS;
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
