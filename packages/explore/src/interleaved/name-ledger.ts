import type { ProtectedRange } from '@heki/hypercall/kvm';
import { MEM_ATTR_EXEC, MEM_ATTR_READ, MEM_ATTR_WRITE } from '@heki/hypercall/kvm';
import type { StateDigest } from '@heki/physical-memory';
import { ALIAS, DATA, TEXT } from '../backend/frames.ts';

/** The rights that requests which returned have given each guest frame, as MEM_ATTR bits. */
export type NameRights = Map<number, number>;

const WATCHED = [TEXT, DATA, ALIAS];
/** What is left of a frame that nobody asked for, once somebody asked for anything. */
const UNREQUESTED = MEM_ATTR_READ | MEM_ATTR_WRITE;
const EVERYTHING = MEM_ATTR_READ | MEM_ATTR_WRITE | MEM_ATTR_EXEC;

export function copyNames(names: NameRights): NameRights {
  return new Map(names);
}

/** A request was answered with success. */
export function granted(names: NameRights, ranges: readonly ProtectedRange[]): void {
  names.set(-1, 0);
  for (const { start, end, permissions } of ranges)
    for (const gfn of WATCHED) if (gfn >= start && gfn < end) names.set(gfn, permissions);
}

/**
 * The most that an access to a frame may do: what was granted for it last, and no more of reading and storing than was granted for the same bytes by their
 * other name.
 */
export function mostRights(names: NameRights, gfn: number): number {
  if (names.size === 0) return EVERYTHING;
  const own = names.get(gfn);
  const other = gfn === TEXT ? names.get(ALIAS) : gfn === ALIAS ? names.get(TEXT) : undefined;
  let most = own ?? UNREQUESTED;
  if (other === undefined) return most;
  most &= other | MEM_ATTR_EXEC;
  // Frames that nobody asked for execute no more than the other name does.
  return own === undefined ? most & (other | ~MEM_ATTR_EXEC) : most;
}

export function digestNames(names: NameRights, digest: StateDigest): void {
  for (const gfn of [-1, ...WATCHED]) digest.word(names.get(gfn) ?? 16);
}
