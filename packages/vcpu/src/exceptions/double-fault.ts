import { type Exception, Vector } from './exception.ts';

/** Exceptions that make a second one of their kind a double fault (SDM 3A table 6-4). */
const CONTRIBUTORY: ReadonlySet<number> = new Set([
  Vector.DE,
  Vector.TS,
  Vector.NP,
  Vector.SS,
  Vector.GP,
  Vector.CP,
]);
/** Page faults and what is treated like them. */
const PAGE_FAULTS: ReadonlySet<number> = new Set([Vector.PF, Vector.VE]);

/** What is delivered when `second` is raised while `first` is being delivered (SDM 3A table 6-5). */
export function combineExceptions(first: Exception, second: Exception): Exception | 'triple-fault' {
  const severe = CONTRIBUTORY.has(second.vector) || PAGE_FAULTS.has(second.vector);
  if (first.vector === Vector.DF) return severe ? 'triple-fault' : second;
  const doubles =
    (CONTRIBUTORY.has(first.vector) && CONTRIBUTORY.has(second.vector)) ||
    (PAGE_FAULTS.has(first.vector) && severe);
  return doubles ? { vector: Vector.DF, errorCode: 0 } : second;
}
