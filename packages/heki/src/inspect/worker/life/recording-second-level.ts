import type { EffectiveRights } from '@heki/hypervisor';
import type { Gfn } from '@heki/physical-memory';
import { REFUSED, type SecondLevel, SecondLevelAccess, type SecondLevelWalk } from '@heki/second-level';
import type { SecondLevelFault } from '@heki/vcpu';
import type { WatchedMachine } from './watched-machine.ts';

/** A translation that a walk asked the second level for. */
export interface AskedTranslation {
  readonly gfn: Gfn;
  readonly offset: number;
  /** `undefined` where the second level cannot tell its steps. */
  readonly walk: SecondLevelWalk | undefined;
  /**
   * No leaf was there, and the hypervisor installs one: what is allowed is read back from what it enforces. Then {@link walk} is that after
   * it has, where the hypervisor can be had to do so.
   */
  readonly installs: boolean;
}

/**
 * The second level of a machine, with a record of what it was asked. Hypervisors map pages at the first access: where no leaf is there yet
 * and the page's rights allow the access, it goes on, as it does on the machine once the hypervisor has answered the exit.
 */
export function recordingSecondLevel(
  { virtualMachine, vcpu, hostFrame, preFault }: WatchedMachine,
  actual: SecondLevel<SecondLevelFault>,
): { readonly secondLevel: SecondLevel<SecondLevelFault>; readonly asked: AskedTranslation[] } {
  const asked: AskedTranslation[] = [];
  // With EPT's own accessed and dirty flags every use of a guest entry counts as a write (SDM 3C 29.3.3.2); nested paging knows no other way.
  const structuresAreWritten = vcpu.processor.ept?.accessedDirty ?? true;
  return {
    asked,
    secondLevel: {
      translate(gfn, offset, access) {
        let walk = actual.explain?.(gfn, offset, access);
        const frame = actual.translate(gfn, offset, access);
        const rights = frame === REFUSED ? virtualMachine.effectiveRights(gfn) : undefined;
        const installs =
          rights !== undefined && !rights.present && allows(rights, access, structuresAreWritten);
        if (installs && preFault?.(gfn) === true) walk = actual.explain?.(gfn, offset, access);
        asked.push({ gfn, offset, walk, installs });
        return installs ? hostFrame(gfn) : frame;
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

/** Whether a page with these rights may be used so. */
function allows(
  { read, write, supervisorExecute, userExecute }: EffectiveRights,
  access: number,
  structuresAreWritten: boolean,
): boolean {
  const asked = (bits: number): boolean => (access & bits) !== 0;
  if (asked(SecondLevelAccess.FETCH))
    return asked(SecondLevelAccess.USER_PAGE) ? userExecute : supervisorExecute;
  if (asked(SecondLevelAccess.WRITE)) return write;
  if (asked(SecondLevelAccess.PAGING_STRUCTURE) && structuresAreWritten) return write;
  return read;
}
