import { callsOf } from '../jit/judge-program.ts';
import type { LiveImage } from '../state.ts';

/** Bytes of a slot: BPF_PROG_CHUNK_SIZE. */
export const JIT_SLOT = 64;

/** Where programs lead, by the first slot of each. */
export type CallsOfPack = ReadonlyMap<number, ReadonlySet<bigint>>;

/** A pack's programs never change: what is read of them is read once, though each that comes or goes makes another {@link LiveImage}. */
const KNOWN = new WeakMap<LiveImage, CallsOfPack>();

/** Where a program begins. */
export function placeOfSlot({ bases }: LiveImage, slot: number): bigint {
  return (bases[0] ?? 0n) + BigInt(slot * JIT_SLOT);
}

/** What the programs of a pack call; of a pack that was restored, read out of it. */
export function callsOfPack(pack: LiveImage): CallsOfPack {
  const known = KNOWN.get(pack);
  if (known !== undefined) return known;
  const found = new Map<number, ReadonlySet<bigint>>();
  const bytes = pack.image.parts[0]?.bytes ?? new Uint8Array();
  for (const [slot, slots] of pack.programs ?? []) {
    const code = bytes.subarray(slot * JIT_SLOT, (slot + slots) * JIT_SLOT);
    found.set(slot, callsOf(code, placeOfSlot(pack, slot)));
  }
  KNOWN.set(pack, found);
  return found;
}

/** `next` is `pack` with another program in `slot`, which calls `calls`, or with none. */
export function keepCalls(
  pack: LiveImage,
  next: LiveImage,
  slot: number,
  calls: ReadonlySet<bigint> | undefined,
): void {
  const all = new Map(callsOfPack(pack));
  if (calls === undefined) all.delete(slot);
  else all.set(slot, calls);
  KNOWN.set(next, all);
}
