import { blind } from './blind.ts';
import { judgeProgram, type Surroundings } from './judge-program.ts';

/**
 * A compiled program is judged, and its larger constants are drawn anew, in place.
 *
 * @param address where it begins
 * @param drawing what the guest does not know (`secret`), and what was done before (`chain`): no two programs get the same
 * @returns why it is refused; its bytes are worth nothing then
 */
export function acceptProgram(
  code: Uint8Array,
  address: bigint,
  around: Surroundings,
  drawing: { readonly secret: Uint8Array; readonly chain: Uint8Array },
): string | undefined {
  const judged = judgeProgram(code, address, around);
  return judged.ok ? blind(code, judged, drawing.secret, drawing.chain) : judged.why;
}
