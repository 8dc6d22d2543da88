import { blind } from './blind.ts';
import { judgeProgram, type Surroundings } from './judge-program.ts';

/**
 * A compiled program is judged, and its larger constants are drawn anew, in place.
 *
 * @param address where it begins
 * @param secret what the guest does not know
 * @param chain what was done before: no two programs get the same
 * @returns why it is refused; its bytes are worth nothing then
 */
export function acceptProgram(
  code: Uint8Array,
  address: bigint,
  around: Surroundings,
  { secret, chain }: { readonly secret: Uint8Array; readonly chain: Uint8Array },
): string | undefined {
  const judged = judgeProgram(code, address, around);
  return judged.ok ? blind(code, judged, secret, chain) : judged.why;
}
