import type { Gfn, Pfn } from '@heki/physical-memory';
import { REFUSED, type SecondLevel } from '@heki/second-level';
import type { SecondLevelFault } from '@heki/vcpu';

/** Tags what is cached while one instruction is let through: no root table has this frame, beyond all memory. */
export const ONCE_ROOT: number = 2 ** 40 - 2;

/**
 * A second level that allows one access to one frame whatever its access type, as Xen's emulator does for a reply with
 * EMULATE. Nothing that it answers may be cached (`rights` 0), so that the next access meets the rights again.
 */
export function createOnceView(
  inner: SecondLevel<SecondLevelFault>,
  gfn: Gfn,
  pfn: Pfn,
): SecondLevel<SecondLevelFault> {
  let spent = false;
  const view = {
    fault: undefined as SecondLevelFault | undefined,
    level: 1,
    rights: 0,
    translate(frame: Gfn, offset: number, access: number): Pfn | typeof REFUSED {
      if (frame === gfn && !spent) {
        const allowed = inner.translate(frame, offset, access);
        if (allowed !== REFUSED) return allowed;
        spent = true;
        return pfn;
      }
      const result = inner.translate(frame, offset, access);
      if (result === REFUSED) view.fault = inner.fault;
      return result;
    },
  };
  return view;
}
