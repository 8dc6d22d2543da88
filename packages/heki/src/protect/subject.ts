import {
  type Gfn,
  hex,
  VIRTUAL_FRAME_END,
  type VirtualAddress,
  type VirtualFrame,
  virtualAddressOf,
} from '@heki/physical-memory';
import type { IomemMap, RegionBases } from '@heki/vmcore';
import { DUMP_LIMITS } from '@heki/vmcore/limits';
import { upperHalfStart, walkMappings } from '@heki/x86';
import { type AssumedProcessor, assumeProcessor } from '../assumed-processor.ts';
import { InputError } from '../failure.ts';
import { count } from '../quantity.ts';
import type { Sidecar } from '../sidecar.ts';
import { type AddressSpaceOptions, type Snapshot, vmcoreinfoSymbols } from '../snapshot.ts';
import { tableWarnings } from '../warning.ts';
import { knownSymbols } from './known-symbols.ts';
import { inferMemoryMap, type MemoryMapFile, type SubjectMap, subjectMapOf } from './memory-map.ts';

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

/** What stands around a snapshot. */
export interface SubjectSurroundings {
  readonly path: string;
  readonly name: string;
  readonly embedded: boolean;
  readonly sidecar: Sidecar | undefined;
  /** `undefined`: the memory map is inferred. */
  readonly memoryMap: (MemoryMapFile & { readonly map: IomemMap }) | undefined;
  /** The processor that the user named. */
  readonly cpu: string | undefined;
}

/**
 * The kernel of a snapshot, with what its sidecar and VMCOREINFO say.
 *
 * @throws {UsageError} for an unknown processor
 * @throws {InputError} when its tables have no end, or what stands around it belongs to another guest
 */
export function subjectOf(
  snapshot: Snapshot,
  { path, name, embedded, sidecar, memoryMap, cpu }: SubjectSurroundings,
): Subject {
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
      { file: path },
    );
  }
  const absent = `the dump lacks ${count(absentTables, 'page-table page')} of the kernel: what they map is not known`;
  const circular = `${count(tablesAtSeveralLevels, 'page-table page')} ${tablesAtSeveralLevels === 1 ? 'stands' : 'stand'} at more than one level: tables lead to themselves`;
  const map =
    memoryMap === undefined ? inferMemoryMap(tables) : subjectMapOf(memoryMap.map, memoryMap, tables);
  const known = knownSymbols(sidecar, tables);
  const release = core.vmcoreinfo?.release;
  return {
    ...snapshot,
    ...map,
    processor: assumeProcessor(snapshot, sidecar, cpu),
    name,
    embedded,
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
