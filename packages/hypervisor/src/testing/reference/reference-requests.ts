import type { Capabilities } from '../../capabilities.ts';
import { grantableRights } from '../../capabilities.ts';
import type { ProtectionResult, Refusal, Weakened } from '../../result.ts';
import { type ProtectionRange, sameRights } from '../../rights.ts';
import type { ReferenceMemory } from './reference-memory.ts';

/** Answers a request as `kept` has it. */
export function answerRequest(
  kept: Capabilities,
  memory: ReferenceMemory,
  ranges: readonly ProtectionRange[],
  by: 'guest' | 'owner',
): ProtectionResult {
  const { rangesPerCall = ranges.length, failure } = kept;
  if (ranges.length > rangesPerCall) return refused(-1, 'too-much');
  if (failure === 'all-or-nothing') {
    const at = ranges.findIndex((range) => whyNot(kept, memory, range, by) !== undefined);
    const range = ranges[at];
    const why = range && whyNot(kept, memory, range, by);
    if (why !== undefined) return refused(at, why);
  }
  const weakened: Weakened[] = [];
  for (const [at, range] of ranges.entries()) {
    const why = whyNot(kept, memory, range, by);
    if (why !== undefined) return { applied: at, weakened, refused: { at, why } };
    const granted = grantableRights(kept, range.rights);
    if (!sameRights(granted, range.rights)) weakened.push({ range, granted });
    memory.add(range);
  }
  return { applied: ranges.length, weakened };
}

export function refused(at: number, why: Refusal): ProtectionResult {
  return { applied: 0, weakened: [], refused: { at, why } };
}

function whyNot(
  { immutability, largePages }: Capabilities,
  memory: ReferenceMemory,
  { start, end, immutable }: ProtectionRange,
  by: 'guest' | 'owner',
): Refusal | undefined {
  if (end <= start) return 'empty';
  if (memory.regionOf(start) === undefined || memory.regionOf(end - 1) === undefined) return 'not-memory';
  if (largePages === 'split-by-caller' && end - start > 1) return 'unsupported';
  if (immutability.kind !== 'per-page') return immutable === true ? 'unsupported' : undefined;
  const mayUndo = by === 'owner' && immutability.undoneBy === 'policy-owner';
  return !mayUndo && memory.isImmutable(start, end) ? 'immutable' : undefined;
}
