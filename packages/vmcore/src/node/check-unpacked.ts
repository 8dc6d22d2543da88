import { VmcoreError } from '../error.ts';
import { DUMP_LIMITS } from '../limits.ts';

/**
 * Whether what comes out of a packed file may be a dump: not more than `limit`, and not more than a bomb alone has.
 *
 * @param path the file's name, for errors
 * @param unpacked bytes that came out so far
 * @param packed bytes that they came from, or that the whole file has
 * @throws {VmcoreError} when it is too much
 */
export function checkUnpacked(path: string, unpacked: number, packed: number, limit: number): void {
  if (unpacked > limit) throw new VmcoreError(`${path} unpacks to more than ${limit} bytes`);
  if (unpacked > DUMP_LIMITS.inflationCountsFrom && unpacked > packed * DUMP_LIMITS.inflation) {
    throw new VmcoreError(`${path} unpacks to ${DUMP_LIMITS.inflation} times its size: a bomb, no dump`);
  }
}
