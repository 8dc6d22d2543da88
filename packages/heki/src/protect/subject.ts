import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findDirectMap } from '@heki/guest';
import { directlyMapped, machineMemory } from '@heki/machine';
import {
  createMemoryMap,
  type Gfn,
  hex,
  type MemoryMap,
  VIRTUAL_FRAME_END,
  type VirtualAddress,
  type VirtualFrame,
  virtualAddressOf,
  virtualFrameOf,
} from '@heki/physical-memory';
import { type LeftOut, readMemoryMap } from '@heki/vmcore';
import { upperHalfStart, walkMappings } from '@heki/x86';
import { type AssumedProcessor, assumeProcessor } from '../assumed-processor.ts';
import { InputError } from '../failure.ts';
import { readSidecar } from '../sidecar.ts';
import { MOST_TABLES, openSnapshot, type Snapshot, vmcoreinfoSymbols } from '../snapshot.ts';

/** The kernel that comes with the command: a Debian kernel of 256 MiB, without KASLR. */
const EMBEDDED = fileURLToPath(new URL('../../data/k61-256-nokaslr.elf.gz', import.meta.url));

/** The kernel that is to be protected, with all that is known of it. */
export interface Subject extends Snapshot {
  /** The processor that its guest is taken to run on. */
  readonly processor: AssumedProcessor;
  /** File name for people. */
  readonly name: string;
  readonly embedded: boolean;
  /** Its version text; `unknown` where nobody tells. */
  readonly kernel: string;
  readonly commandLine: string | undefined;
  readonly symbols: ReadonlyMap<string, VirtualAddress>;
  readonly memoryMap: MemoryMap<Gfn>;
  /** Where the memory map comes from: a file's name, or `undefined` when it was inferred from the direct map. */
  readonly memoryMapFrom: string | undefined;
  /** What the file of the memory map names and does not count as RAM. */
  readonly leftOut: readonly LeftOut[];
  /** Where physical address 0 is mapped. */
  readonly directMap: VirtualFrame | undefined;
}

/**
 * Opens the snapshot at `path`, or the embedded one, and gathers what its sidecar and VMCOREINFO say.
 *
 * @param cpu the processor that the user names
 * @throws {UsageError} for a processor that there is none of
 * @throws {VmcoreError} when the snapshot or the memory map is damaged
 * @throws {InputError} when there is no memory map and none can be inferred
 */
export async function openSubject(
  path: string | undefined,
  memoryMapPath: string | undefined,
  cpu: string | undefined,
): Promise<Subject> {
  const file = path ?? EMBEDDED;
  const snapshot = openSnapshot(file);
  const sidecar = await readSidecar(file);
  const { core, kernelRoot, levels } = snapshot;

  const tables = { memory: core.memory, root: kernelRoot, levels };
  const { stoppedAt } = walkMappings(
    { ...tables, budget: MOST_TABLES },
    upperHalfStart(levels),
    VIRTUAL_FRAME_END as VirtualFrame,
    () => {},
  );
  if (stoppedAt !== undefined) {
    throw new InputError(
      `${basename(file)}: more than ${MOST_TABLES} page-table pages lead to ${hex(virtualAddressOf(stoppedAt))}: its tables seem to point to each other`,
    );
  }
  const directMap =
    sidecar?.directMap === undefined
      ? findDirectMap({ ...tables, validFrames: [] })?.start
      : virtualFrameOf(sidecar.directMap);
  const mapFile = memoryMapPath ?? (sidecar?.hasMemoryMap === true ? sidecar.path : undefined);
  let memoryMap: MemoryMap<Gfn>;
  let leftOut: readonly LeftOut[] = [];
  if (mapFile !== undefined) {
    const read = readMemoryMap(mapFile);
    memoryMap = read;
    leftOut = read.leftOut;
  } else if (directMap !== undefined) {
    const ranges = directlyMapped(tables, directMap);
    memoryMap = createMemoryMap(ranges.map((range) => ({ ...range, type: 'ram' as const })));
  } else {
    throw new InputError(
      `${basename(file)}: no direct map in its page tables to infer the memory map from: give one with --memory-map`,
    );
  }

  if (!machineMemory(memoryMap).some(({ start, end }) => kernelRoot >= start && kernelRoot < end)) {
    throw new InputError(
      `${mapFile === undefined ? basename(file) : basename(mapFile)}: the memory map has no RAM at ${hex(kernelRoot * 4096)}, where the kernel's page tables are: is it the map of this guest?`,
    );
  }

  const release = core.vmcoreinfo?.release;
  return {
    ...snapshot,
    processor: assumeProcessor(snapshot, sidecar, cpu),
    name: basename(file),
    embedded: path === undefined,
    kernel: sidecar?.kernel ?? (release === undefined ? 'unknown' : `Linux ${release}`),
    commandLine: sidecar?.commandLine,
    symbols: new Map([...vmcoreinfoSymbols(core), ...(sidecar?.symbols ?? [])]),
    memoryMap,
    memoryMapFrom: mapFile === undefined ? undefined : basename(mapFile),
    leftOut,
    directMap,
  };
}
