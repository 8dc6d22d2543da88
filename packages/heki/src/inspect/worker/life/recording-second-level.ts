import type { Gfn, Pfn } from '@heki/physical-memory';
import { REFUSED, type SecondLevel, type SecondLevelWalk } from '@heki/second-level';
import type { SecondLevelFault } from '@heki/vcpu';

/** A translation that a walk asked the second level for. */
export interface AskedTranslation {
  readonly gfn: Gfn;
  readonly offset: number;
  /** `undefined` where the second level cannot tell its steps. */
  readonly walk: SecondLevelWalk | undefined;
}

/**
 * A second level, with a record of what it was asked.
 *
 * @param whenRefused where a walk goes on all the same
 */
export function recordingSecondLevel(
  actual: SecondLevel<SecondLevelFault>,
  whenRefused: (gfn: Gfn, access: number) => Pfn | typeof REFUSED = () => REFUSED,
): { readonly secondLevel: SecondLevel<SecondLevelFault>; readonly asked: AskedTranslation[] } {
  const asked: AskedTranslation[] = [];
  return {
    asked,
    secondLevel: {
      translate(gfn, offset, access) {
        const walk = actual.explain?.(gfn, offset, access);
        const frame = actual.translate(gfn, offset, access);
        asked.push({ gfn, offset, walk });
        return frame === REFUSED ? whenRefused(gfn, access) : frame;
      },
      get fault() {
        return actual.fault;
      },
      get level() {
        return actual.level;
      },
      get rights() {
        return actual.rights;
      },
    },
  };
}
