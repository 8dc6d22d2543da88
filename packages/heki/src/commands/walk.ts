import { basename } from 'node:path';
import { hex, VIRTUAL_FRAME_END, type VirtualFrame, virtualAddressOf } from '@heki/physical-memory';
import type { ChosenRoot, ProvenRoot } from '@heki/vmcore';
import { DUMP_LIMITS } from '@heki/vmcore/limits';
import {
  lowerHalfEnd,
  type MappingWalkResult,
  mappings,
  PageRights,
  type SharedTable,
  upperHalfStart,
  walkMappings,
} from '@heki/x86';
import { assumeProcessor } from '../assumed-processor.ts';
import { BUILT_IN_SNAPSHOT } from '../built-in-snapshot.ts';
import { ExitCode, UsageError } from '../failure.ts';
import { type CommandIo, createLineWriter, type LineWriter } from '../io.ts';
import { COMMAND_LIMITS } from '../limits/command-limits.ts';
import type { Names } from '../names/names.ts';
import { namesOfAddressSpace, regionsOf } from '../names/open-names.ts';
import { isHexadecimal, resolveAddress } from '../names/resolve-address.ts';
import { openAddressSpace } from '../open-snapshot.ts';
import { readSidecar } from '../read-sidecar.ts';
import { screenOf } from '../report/screen.ts';
import { type AddressSpaceOptions, tablesLines } from '../snapshot.ts';
import { tableWarnings, userHalfWarnings, type Warning } from '../warning.ts';
import { LeafPlaces } from './leaf-places.ts';
import { type SharedRun, SharedRuns } from './shared-runs.ts';
import { WALK_FORMATS, type WalkSummary } from './walk-format.ts';

/** Options of `heki walk`. */
export interface WalkOptions extends AddressSpaceOptions {
  /** Names what is at the addresses: by this file, or by kallsyms in memory where none is named. */
  readonly symbols?: string | true;
  readonly vmlinux?: string;
  readonly range?: string;
  readonly user?: boolean;
  readonly cpu?: string;
  readonly format: keyof typeof WALK_FORMATS;
}

/** The first frame of the kernel's half. */
const KERNEL_HALF = 2 ** 51;

/** `heki walk [SNAPSHOT]`: the leaves of the kernel's half, or of the user's. Exit code 1 when tables were left out. */
export async function walk(
  snapshotPath: string | undefined,
  options: WalkOptions,
  io: CommandIo,
): Promise<number> {
  const path = snapshotPath ?? BUILT_IN_SNAPSHOT;
  const ends = options.range === undefined ? undefined : rangeEnds(options.range);
  const hasSymbol = ends?.some((one) => !isHexadecimal(one)) ?? false;
  const given = ends === undefined || hasSymbol ? undefined : parseRange(ends, undefined);
  const isKernels = options.user !== true && (given === undefined || given.start >= KERNEL_HALF);
  const snapshot = openAddressSpace(path, options, isKernels ? 'kernel' : 'user');
  const sidecar = await readSidecar(path);
  const file = typeof options.symbols === 'string' ? options.symbols : undefined;
  const needed = hasSymbol || options.symbols !== undefined;
  const names = needed
    ? await namesOfAddressSpace(path, snapshot, sidecar, { symbols: file, vmlinux: options.vmlinux, needed })
    : undefined;
  const range = given ?? (ends === undefined ? undefined : parseRange(ends, names));
  const processor = assumeProcessor(snapshot, sidecar, options.cpu);
  const { levels } = snapshot.tables;
  const whole =
    options.user === true
      ? { start: 0 as VirtualFrame, end: lowerHalfEnd(levels) }
      : { start: upperHalfStart(levels), end: VIRTUAL_FRAME_END as VirtualFrame };
  const { start, end } = range ?? whole;
  const warnings = [
    ...tableWarnings(snapshot.core, snapshot.tables),
    ...(start < lowerHalfEnd(levels) ? userHalfWarnings(snapshot.tables) : []),
    ...processor.warnings,
    ...(names?.warnings ?? []),
  ];
  const tables = { ...snapshot.tables, budget: DUMP_LIMITS.tablePages };
  const speltOut =
    options.format === 'info-tlb' &&
    walkMappings(tables, start, end, () => {}).mappings <= COMMAND_LIMITS.mappingsSpeltOut;

  const named =
    options.symbols === undefined && start >= KERNEL_HALF ? regionsOf(path, snapshot) : names?.kernel;
  const format = WALK_FORMATS[options.format](
    screenOf(io.stdout, io.env),
    named && new LeafPlaces(named, start, end),
  );
  const writer = createLineWriter(io.stdout);
  const summary: WalkSummary = { leaves: [0, 0, 0], sharedMappings: 0, writableAndExecutable: 0 };
  await writeAll(writer, format.begin(snapshot.tables, warnings));
  /** What came between two leaves. */
  let lines: string[] = [];
  const runs = new SharedRuns();
  const tell = (run: SharedRun | undefined): void => {
    if (run !== undefined) lines.push(...format.shared(run));
  };
  const onShared = (place: SharedTable): void => {
    summary.sharedMappings += place.mappings;
    tell(runs.add(place));
  };
  const walker = mappings({ ...tables, onShared, sharedTables: speltOut ? 'each' : 'once' }, start, end);
  let step = walker.next();
  for (; step.done !== true; step = walker.next()) {
    const leaf = step.value;
    summary.leaves[leaf.level - 1] = (summary.leaves[leaf.level - 1] ?? 0) + 1;
    if ((leaf.effective & (PageRights.WRITE | PageRights.EXECUTE_DISABLE)) === PageRights.WRITE) {
      summary.writableAndExecutable++;
    }
    tell(runs.end());
    // A wait costs more than all else that is done for a leaf.
    if (lines.length > 0) {
      await writeAll(writer, lines);
      lines = [];
    }
    const text = format.leaf(leaf);
    if (text === undefined) continue;
    const written = text.includes('\n') ? writeAll(writer, text.split('\n')) : writer.line(text);
    if (written !== undefined) await written;
  }
  tell(runs.end());
  await writeAll(writer, [...lines, ...format.end(summary, step.value)]);
  await writer.flush();
  const { stoppedAt, absentTables } = step.value;
  const beside = options.format === 'info-tlb' ? besideInfoTlb(snapshot.tables, warnings, summary) : [];
  const told = [...beside, ...remarks(basename(path), step.value)];
  await io.stderr.write(told.map((line) => `heki: ${line}\n`).join(''));
  return stoppedAt === undefined && absentTables === 0 ? ExitCode.SUCCESS : ExitCode.FAILURE;
}

/** What QEMU's text has no place for: which tables these are, unless they are those in CR3, and what is to be known of them. */
function besideInfoTlb(
  tables: ProvenRoot | ChosenRoot,
  warnings: readonly Warning[],
  { sharedMappings }: WalkSummary,
): string[] {
  const isCr3 = 'origin' in tables && tables.origin.isCr3;
  const once = `tables that several entries lead to are listed once: QEMU's text has ${sharedMappings} lines more (--format table shows where)`;
  return [
    ...(isCr3 ? [] : [tablesLines(tables).join(' ')]),
    ...warnings.map(({ message }) => `warning: ${message}`),
    ...(sharedMappings > 0 ? [once] : []),
  ];
}

/** What was not listed, by lines. */
function remarks(
  name: string,
  { absentTables, tables, stoppedAt, tablesAtSeveralLevels }: MappingWalkResult,
): string[] {
  const lines: string[] = [];
  if (absentTables > 0)
    lines.push(`${name} lacks ${absentTables} page-table pages: what they map is not listed`);
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
  return lines;
}

async function writeAll(writer: LineWriter, lines: readonly string[]): Promise<void> {
  for (const line of lines) {
    const written = writer.line(line);
    if (written !== undefined) await written;
  }
}

/** Both ends of START-END. @throws {UsageError} unless there are two */
function rangeEnds(text: string): readonly [first: string, last: string] {
  const [first = '', last, more] = text.split('-');
  if (last === undefined || more !== undefined) {
    throw new UsageError(
      `--range: "${text}" is not a range: expected START-END, as ffffffff81000000-ffffffff82000000 or _stext-_etext`,
    );
  }
  return [first, last];
}

/** @throws {UsageError} unless START is below END */
function parseRange(
  [first, last]: readonly [first: string, last: string],
  names: Names | undefined,
): { start: VirtualFrame; end: VirtualFrame } {
  const start = resolveAddress(first, names);
  const end = resolveAddress(last, names);
  if (start >= end) throw new UsageError(`--range: ${first}-${last} is empty: expected START below END`);
  return {
    start: Number(start >> 12n) as VirtualFrame,
    end: Number((end + 0xfffn) >> 12n) as VirtualFrame,
  };
}
