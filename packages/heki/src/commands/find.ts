import { type Mapping, readKernel, rightsText } from '@heki/audit';
import {
  firstBehind,
  type Gfn,
  gfn,
  hex,
  PAGE_SIZE,
  type VirtualAddress,
  type VirtualFrame,
  virtualAddressOf,
} from '@heki/physical-memory';
import { type KernelNames, PLACE_REGIONS, type Place } from '@heki/symbols';
import { mappedFrame, type ProvenRoot } from '@heki/vmcore';
import { ExitCode, UsageError } from '../failure.ts';
import { hex16 } from '../hex.ts';
import type { CommandIo } from '../io.ts';
import { COMMAND_LIMITS } from '../limits/command-limits.ts';
import type { Names } from '../names/names.ts';
import { type NamesOptions, openNames, regionsOf } from '../names/open-names.ts';
import { regionText, symbolText } from '../names/place-text.ts';
import { isHexadecimal, resolveAddress } from '../names/resolve-address.ts';
import { openSnapshot } from '../open-snapshot.ts';
import { count } from '../quantity.ts';
import { readSidecar } from '../read-sidecar.ts';
import { writeReport } from '../report/write-report.ts';
import { type AddressSpaceOptions, tablesJson, tablesLines } from '../snapshot.ts';
import { tableWarnings, type Warning } from '../warning.ts';

/** Options of `heki find`: what is asked for together must all be so. */
export interface FindOptions extends AddressSpaceOptions, NamesOptions {
  readonly permissions?: string;
  readonly physical?: string;
  readonly aliases?: number;
  readonly symbol?: string;
  readonly region?: string;
  readonly json?: boolean;
}

/** Frames, the end exclusive. */
interface Frames {
  readonly start: number;
  readonly end: number;
}

/** Mappings that follow each other in both address spaces and are otherwise alike. */
interface Found {
  readonly virtualFrame: VirtualFrame;
  readonly guestFrame: Gfn;
  readonly frames: number;
  readonly rights: number;
  readonly region: string;
  readonly symbol: string | undefined;
  /** Mappings of each of its frames, this one included. */
  readonly mappings: number;
}

type Part = Pick<Found, 'virtualFrame' | 'guestFrame' | 'frames' | 'mappings'>;

/**
 * `heki find SNAPSHOT`: the mappings of the kernel's half that have the permissions, lead to the physical range or to the frame of the symbol,
 * lie in the region, and whose frames have as many mappings, as asked. Exit code 1 when there is none.
 */
export async function find(path: string, options: FindOptions, io: CommandIo): Promise<number> {
  const asked = [options.permissions, options.physical, options.aliases, options.symbol, options.region];
  if (asked.every((one) => one === undefined)) {
    throw new UsageError(
      'nothing to find: expected --permissions, --physical, --aliases, --symbol or --region',
    );
  }
  if (options.region !== undefined) refuseUnknownRegion(options.region);
  const permissions = options.permissions === undefined ? undefined : permissionPattern(options.permissions);
  const physical = options.physical === undefined ? undefined : physicalRange(options.physical);
  const snapshot = openSnapshot(path, options);
  const { core, tables } = snapshot;
  const wantsSymbols =
    options.symbols !== undefined ||
    options.vmlinux !== undefined ||
    options.region !== undefined ||
    options.symbol !== undefined;
  const names = wantsSymbols ? await openNames(core, tables, await readSidecar(path), options) : undefined;
  const kernel = names?.kernel ?? regionsOf(path, snapshot);
  const frame = options.symbol === undefined ? undefined : frameOfSymbol(options.symbol, tables, names);
  const found: Found[] = [];
  let leftOut = 0;
  const wanted = [physical, frame].filter((range) => range !== undefined);
  for (const one of alikeMappings(tables, kernel)) {
    const isMatch =
      (permissions?.test(rightsText(one.rights)) ?? true) &&
      one.mappings >= (options.aliases ?? 0) &&
      (options.region === undefined || isWithin(one.region, options.region));
    const part = isMatch ? partWithin(one, wanted) : undefined;
    if (part === undefined) continue;
    if (found.length < COMMAND_LIMITS.foundRanges) found.push(part);
    else leftOut++;
  }
  const warnings = [...tableWarnings(core, tables), ...(names?.warnings ?? [])];
  await writeReport(
    'find',
    {
      json: () => ({ ...toJson(found, tables), leftOut, warnings }),
      text: () => describe(found, leftOut, tables, warnings),
    },
    options,
    io,
  );
  return found.length === 0 ? ExitCode.FAILURE : ExitCode.SUCCESS;
}

/** Whether `region` is the one asked for, or begins with its words: `kernel text` with `kernel`. */
function isWithin(region: string, asked: string): boolean {
  return region === asked || region.startsWith(`${asked} `);
}

/** Those that mappings of the kernel's half can lie in. */
const KERNEL_REGIONS = PLACE_REGIONS.filter((region) => region !== 'user' && region !== 'non-canonical');

/** A name that no region can have would find nothing, as if there were nothing. @throws {UsageError} for it */
function refuseUnknownRegion(asked: string): void {
  if (/^module( |$)/.test(asked) || KERNEL_REGIONS.some((region) => isWithin(region, asked))) return;
  const names = KERNEL_REGIONS.map((region) => `"${region}"`).join(', ');
  throw new UsageError(`--region: "${asked}" is no region: expected ${names}, or "module NAME"`);
}

/** @throws {UsageError} unless `text` is three letters as `rwx`, with `?` for any */
function permissionPattern(text: string): RegExp {
  if (!/^[r?][w?-][x?-]$/.test(text)) {
    throw new UsageError(
      `--permissions: "${text}" is not a permission: expected three letters as rwx or r-x, with ? for any`,
    );
  }
  return new RegExp(`^${text.replaceAll('?', '.')}`);
}

/** @throws {UsageError} unless `text` is an address, or START-END with START below END */
function physicalRange(text: string): Frames {
  const [, first = '', last] = /^(?:0x)?([0-9a-f]{1,13})(?:-(?:0x)?([0-9a-f]{1,13}))?$/i.exec(text) ?? [];
  const start = Number.parseInt(first, 16);
  const end = last === undefined ? start + 1 : Number.parseInt(last, 16);
  if (!(start < end)) {
    throw new UsageError(
      `--physical: "${text}" is not a range: expected an address, or START-END, hexadecimal, the end exclusive`,
    );
  }
  return { start: Math.floor(start / PAGE_SIZE), end: Math.ceil(end / PAGE_SIZE) };
}

/** The frame that a symbol or an address is mapped to. @throws {UsageError} when there is no such symbol, or nothing there */
function frameOfSymbol(text: string, tables: ProvenRoot, names: Names | undefined): Frames {
  if (isHexadecimal(text))
    throw new UsageError(`--symbol: "${text}" is an address: expected SYMBOL or SYMBOL+OFFSET`);
  const address: VirtualAddress = resolveAddress(text, names);
  const frame = mappedFrame(tables, Number(address / BigInt(PAGE_SIZE)) as VirtualFrame);
  if (frame === undefined) throw new UsageError(`--symbol: ${text}, ${hex(address)}, is not mapped`);
  return { start: frame, end: frame + 1 };
}

/** All mappings, ascending by virtual address, cut where a frame has more mappings than the one before, or another region begins. */
function* alikeMappings(tables: ProvenRoot, kernel: KernelNames | undefined): Generator<Found> {
  const { mappings, extents } = readKernel({ tables, cpus: [] });
  let run: (Found & { frames: number }) | undefined;
  for (const mapping of mappings) {
    for (const part of partsByPlace(partsByCount(mapping, extents), kernel)) {
      const { virtualFrame, guestFrame, frames, place } = part;
      const region = place === undefined ? mapping.region : regionText(place);
      const isNext =
        run !== undefined &&
        run.virtualFrame + run.frames === virtualFrame &&
        run.guestFrame + run.frames === guestFrame &&
        run.rights === mapping.rights &&
        run.region === region &&
        run.mappings === part.mappings;
      if (run !== undefined && isNext) {
        run.frames += frames;
        continue;
      }
      if (run !== undefined) yield run;
      const symbol = place === undefined ? undefined : symbolText(place);
      const { rights } = mapping;
      run = { virtualFrame, guestFrame, frames, rights, region, symbol, mappings: part.mappings };
    }
  }
  if (run !== undefined) yield run;
}

/** `parts`, cut where another region begins; without `kernel` as they are. */
function* partsByPlace(
  parts: Iterable<Part>,
  kernel: KernelNames | undefined,
): Generator<Part & { readonly place: Place | undefined }> {
  for (const part of parts) {
    if (kernel === undefined) {
      yield { ...part, place: undefined };
      continue;
    }
    const { virtualFrame, guestFrame, frames, mappings } = part;
    const end = (virtualFrame + frames) as VirtualFrame;
    for (const pages of kernel.pagesByPlace(virtualFrame, end)) {
      yield {
        virtualFrame: pages.start,
        guestFrame: gfn(guestFrame + pages.start - virtualFrame),
        frames: pages.end - pages.start,
        mappings,
        place: pages.place,
      };
    }
  }
}

function* partsByCount(
  { virtualFrame, guestFrame, frames }: Mapping,
  extents: ReturnType<typeof readKernel>['extents'],
): Generator<Part> {
  let low = firstBehind(extents, guestFrame);
  for (let at: number = guestFrame; at < guestFrame + frames; low++) {
    const extent = extents[low];
    const end = Math.min(extent?.end ?? guestFrame + frames, guestFrame + frames);
    yield {
      virtualFrame: (virtualFrame + at - guestFrame) as VirtualFrame,
      guestFrame: gfn(at),
      frames: end - at,
      mappings: extent?.mappingCount ?? 1,
    };
    at = end;
  }
}

/** The part of a mapping whose frames are in all of `ranges`. */
function partWithin(one: Found, ranges: readonly Frames[]): Found | undefined {
  if (ranges.length === 0) return one;
  const start = Math.max(one.guestFrame, ...ranges.map((range) => range.start));
  const end = Math.min(one.guestFrame + one.frames, ...ranges.map((range) => range.end));
  if (start >= end) return undefined;
  const skipped = start - one.guestFrame;
  return {
    ...one,
    virtualFrame: (one.virtualFrame + skipped) as VirtualFrame,
    guestFrame: gfn(start),
    frames: end - start,
    symbol: skipped === 0 ? one.symbol : undefined,
  };
}

function* describe(
  found: readonly Found[],
  leftOut: number,
  tables: ProvenRoot,
  warnings: readonly Warning[],
): Generator<string> {
  yield* tablesLines(tables);
  yield* warnings.map(({ message }) => `warning: ${message}`);
  if (found.length > 0)
    yield 'virtual addresses                  physical address    pages  effective  mappings  region';
  let pages = 0;
  for (const { virtualFrame, guestFrame, frames, rights, region, symbol, mappings } of found) {
    const start = virtualAddressOf(virtualFrame);
    const range = `${hex16(start)}-${hex16(start + BigInt(frames * PAGE_SIZE) - 1n)}`;
    const named = symbol === undefined ? region : `${region}  ${symbol}`;
    yield `${range}  ${hex16(guestFrame * PAGE_SIZE)}  ${String(frames).padStart(7)}  ${rightsText(rights).padEnd(9)}  ${String(mappings).padStart(8)}  ${named}`;
    pages += frames;
  }
  yield found.length === 0 ? 'none' : `${count(pages, 'page')} in ${count(found.length, 'range')}`;
  if (leftOut > 0) yield `and ${count(leftOut, 'more range')}, which are not listed`;
}

function toJson(found: readonly Found[], tables: ProvenRoot): object {
  return {
    tables: tablesJson(tables),
    found: found.map(({ virtualFrame, guestFrame, frames, rights, region, symbol, mappings }) => ({
      va: hex(virtualAddressOf(virtualFrame)),
      pa: hex(guestFrame * PAGE_SIZE),
      pages: frames,
      effective: rightsText(rights),
      region,
      symbol: symbol ?? null,
      mappings,
    })),
  };
}
