import { basename } from 'node:path';
import { BUILT_IN_SNAPSHOT } from '../built-in-snapshot.ts';
import { readMemoryMap } from '../input/read-memory-map.ts';
import { openSnapshot } from '../open-snapshot.ts';
import { readSidecar } from '../read-sidecar.ts';
import { type Subject, type SubjectOptions, subjectOf } from './subject.ts';

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
  const mapFile = options.memoryMap ?? (sidecar?.hasMemoryMap === true ? sidecar.path : undefined);
  return subjectOf(snapshot, {
    path: file,
    name: basename(file),
    embedded: path === undefined,
    sidecar,
    memoryMap:
      mapFile === undefined
        ? undefined
        : { path: mapFile, name: basename(mapFile), map: await readMemoryMap(mapFile) },
    cpu: options.cpu,
  });
}
