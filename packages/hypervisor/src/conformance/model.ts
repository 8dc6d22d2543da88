import { type Capabilities, grantableRights } from '../capabilities.ts';
import type { Rights } from '../rights.ts';

const EVERYTHING: Rights = { read: true, write: true, supervisorExecute: true, userExecute: true };

/** The slow, obvious account of what each frame allows: one entry for each frame that was ever asked for. */
export interface RightsModel {
  /** What a page is given for which `wanted` is asked. */
  granted(wanted: Rights): Rights;
  of(gfn: number): Rights;
  set(start: number, end: number, wanted: Rights): void;
  /** Nothing was ever asked. */
  clear(): void;
}

export function createModel(capabilities: Capabilities): RightsModel {
  const rights = new Map<number, Rights>();
  let begun = false;
  const granted = (wanted: Rights): Rights => grantableRights(capabilities, wanted);
  return {
    granted,
    of: (gfn) => rights.get(gfn) ?? (begun ? capabilities.unrequested : EVERYTHING),
    set(start, end, wanted) {
      begun = true;
      const given = granted(wanted);
      for (let gfn = start; gfn < end; gfn++) rights.set(gfn, given);
    },
    clear() {
      begun = false;
      rights.clear();
    },
  };
}
