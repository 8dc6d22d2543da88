import { basename } from 'node:path';
import {
  type Gfn,
  hex,
  VIRTUAL_FRAME_END,
  type VirtualAddress,
  type VirtualFrame,
  virtualAddressOf,
} from '@heki/physical-memory';
import type { RegionBases } from '@heki/vmcore';
import { DUMP_LIMITS } from '@heki/vmcore/limits';
import { upperHalfStart, walkMappings } from '@heki/x86';
import { type AssumedProcessor, assumeProcessor } from '../assumed-processor.ts';
import { BUILT_IN_SNAPSHOT } from '../built-in-snapshot.ts';
import { InputError } from '../failure.ts';
import { count } from '../quantity.ts';
import { readSidecar } from '../sidecar.ts';
import { type AddressSpaceOptions, openSnapshot, type Snapshot, vmcoreinfoSymbols } from '../snapshot.ts';
import { tableWarnings } from '../warning.ts';
import { knownSymbols } from './known-symbols.ts';
import { inferMemoryMap, openMemoryMap, type SubjectMap } from './memory-map.ts';

/** The kernel that is to be protected, with all that is known of it. */
export interface Subject extends Snapshot, SubjectMap {
  /** The processor that its guest is taken to run on. */
  readonly processor: AssumedProcessor;
  /** File name for people. */
  readonly name: string;
  readonly embedded: boolean;
  /** Its version text; `unknown` where the dump does not tell. */
  readonly kernel: string;
  readonly commandLine: string | undefined;
  readonly symbols: ReadonlyMap<string, VirtualAddress>;
  /** Where the regions are that KASLR moves, as far as what stands beside the dump tells. */
  readonly bases: RegionBases;
  /** The page by which a guest of Hyper-V calls it, if what stands beside the dump tells. */
  readonly hypercallPage: Gfn | undefined;
}

/** What the user says of the kernel. */
export interface SubjectOptions extends AddressSpaceOptions {
  /** The file of its memory map. */
  readonly memoryMap?: string;
  /** The processor, by name. */
  readonly cpu?: string;
}

/**
 * Opens the snapshot at `path`, or the embedded one, and gathers what its sidecar and VMCOREINFO say.
 *
 * @throws {UsageError} for an unknown processor
 * @throws {InputError} when the snapshot or the memory map is damaged, or what is beside the snapshot belongs to another guest
 */
export async function openSubject(path: string | undefined, options: SubjectOptions): Promise<Subject> {
  const file = path ?? BUILT_IN_SNAPSHOT;
  const snapshot = openSnapshot(file, options);
  const sidecar = await readSidecar(file);
  const { core, tables } = snapshot;

  const { stoppedAt, absentTables, tablesAtSeveralLevels } = walkMappings(
    { ...tables, budget: DUMP_LIMITS.tablePages },
    upperHalfStart(tables.levels),
    VIRTUAL_FRAME_END as VirtualFrame,
    () => {},
  );
  if (stoppedAt !== undefined) {
    throw new InputError(
      `more than ${DUMP_LIMITS.tablePages} page-table pages lead to ${hex(virtualAddressOf(stoppedAt))}: its tables seem to point to each other`,
      { file },
    );
  }
  const absent = `the dump lacks ${count(absentTables, 'page-table page')} of the kernel: what they map is not known`;
  const circular = `${count(tablesAtSeveralLevels, 'page-table page')} ${tablesAtSeveralLevels === 1 ? 'stands' : 'stand'} at more than one level: tables lead to themselves`;
  const mapFile = options.memoryMap ?? (sidecar?.hasMemoryMap === true ? sidecar.path : undefined);
  const map = mapFile === undefined ? inferMemoryMap(tables) : await openMemoryMap(mapFile, tables);
  const known = knownSymbols(sidecar, tables);
  const release = core.vmcoreinfo?.release;
  return {
    ...snapshot,
    ...map,
    processor: assumeProcessor(snapshot, sidecar, options.cpu),
    name: basename(file),
    embedded: path === undefined,
    kernel: sidecar?.kernel ?? (release === undefined ? 'unknown' : `Linux ${release}`),
    commandLine: sidecar?.commandLine,
    symbols: new Map([...vmcoreinfoSymbols(core), ...known.symbols]),
    bases: sidecar?.bases ?? {},
    hypercallPage: sidecar?.hypercallPage,
    warnings: [
      ...tableWarnings(core, tables),
      ...(absentTables > 0 ? [{ id: 'absent-tables', message: absent }] : []),
      ...(tablesAtSeveralLevels > 0 ? [{ id: 'circular-tables', message: circular }] : []),
      ...map.warnings,
      ...known.warnings,
    ],
  };
}
