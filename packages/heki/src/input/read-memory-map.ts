import { type IomemMap, parseMemoryMap, VmcoreError } from '@heki/vmcore';
import { InputError } from '../failure.ts';
import { INPUT_KINDS } from './input-kind.ts';
import { readText } from './read-text.ts';

/**
 * The memory map in the file at `path`: the text of /proc/iomem, or JSON whose `iomem` is an array of its lines.
 *
 * @throws {InputError} when the file holds none
 */
export async function readMemoryMap(path: string): Promise<IomemMap> {
  const text = await readText(path, INPUT_KINDS.memoryMap);
  try {
    return parseMemoryMap(text);
  } catch (error) {
    if (!(error instanceof VmcoreError)) throw error;
    throw new InputError(error.message, { file: path }, error);
  }
}
