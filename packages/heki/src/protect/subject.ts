import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  VIRTUAL_FRAME_END,
  type VirtualAddress,
  type VirtualFrame,
  virtualAddressOf,
} from '@heki/physical-memory';
import { upperHalfStart, walkMappings } from '@heki/x86';
import { InputError } from '../failure.ts';
import { hex } from '../hex.ts';
import { count } from '../quantity.ts';
import { readSidecar } from '../sidecar.ts';
import {
  type AddressSpaceOptions,
  MOST_TABLES,
  openSnapshot,
  type Snapshot,
  vmcoreinfoSymbols,
} from '../snapshot.ts';
import { tableWarnings } from '../warning.ts';
import { knownSymbols } from './known-symbols.ts';
import { inferMemoryMap, openMemoryMap, type SubjectMap } from './memory-map.ts';

/** The kernel that comes with the command: a Debian kernel of 256 MiB, without KASLR. */
const EMBEDDED = fileURLToPath(new URL('../../data/k61-256-nokaslr.elf.gz', import.meta.url));

/** The kernel that is to be protected, with all that is known of it. */
export interface Subject extends Snapshot, SubjectMap {
  /** File name for people. */
  readonly name: string;
  readonly embedded: boolean;
  /** Its version text; `unknown` where nobody tells. */
  readonly kernel: string;
  readonly commandLine: string | undefined;
  readonly symbols: ReadonlyMap<string, VirtualAddress>;
}

/**
 * Opens the snapshot at `path`, or the embedded one, and gathers what its sidecar and VMCOREINFO say.
 *
 * @throws {VmcoreError} when the snapshot or the memory map is damaged
 * @throws {InputError} when what is beside the snapshot belongs to another guest
 */
export async function openSubject(
  path: string | undefined,
  memoryMapPath: string | undefined,
  addressSpace: AddressSpaceOptions,
): Promise<Subject> {
  const file = path ?? EMBEDDED;
  const snapshot = openSnapshot(file, addressSpace);
  const sidecar = await readSidecar(file);
  const { core, tables } = snapshot;

  const { stoppedAt, absentTables } = walkMappings(
    { memory: tables.memory, root: tables.root, levels: tables.levels, budget: MOST_TABLES },
    upperHalfStart(tables.levels),
    VIRTUAL_FRAME_END as VirtualFrame,
    () => {},
  );
  if (stoppedAt !== undefined) {
    throw new InputError(
      `${basename(file)}: more than ${MOST_TABLES} page-table pages lead to ${hex(virtualAddressOf(stoppedAt))}: its tables seem to point to each other`,
    );
  }
  const absent = `the dump lacks ${count(absentTables, 'page-table page')} of the kernel: what they map is not known`;
  const mapFile = memoryMapPath ?? (sidecar?.hasMemoryMap === true ? sidecar.path : undefined);
  const map = mapFile === undefined ? inferMemoryMap(tables) : openMemoryMap(mapFile, tables);
  const known = knownSymbols(sidecar, tables);
  const release = core.vmcoreinfo?.release;
  return {
    ...snapshot,
    ...map,
    name: basename(file),
    embedded: path === undefined,
    kernel: sidecar?.kernel ?? (release === undefined ? 'unknown' : `Linux ${release}`),
    commandLine: sidecar?.commandLine,
    symbols: new Map([...vmcoreinfoSymbols(core), ...known.symbols]),
    warnings: [
      ...tableWarnings(core, tables),
      ...(absentTables > 0 ? [{ id: 'absent-tables', message: absent }] : []),
      ...map.warnings,
      ...known.warnings,
    ],
  };
}
