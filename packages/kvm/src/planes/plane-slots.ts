import { createLargePageFlags, type Memslot } from '../memslots/memslot.ts';
import type { Memslots } from '../memslots/memslots.ts';

/**
 * The slots of a VM as one of its planes uses them. There is one set of slots, with their dirty logs; where large leaves are legal follows from
 * the attributes of a plane, so that each plane has flags of its own for that.
 *
 * @param appeared the plane meets a slot for the first time
 */
export function planeSlots(slots: Memslots, appeared: (slot: Memslot) => void): Memslots {
  const known = new WeakMap<Memslot, Memslot>();

  function own(slot: Memslot): Memslot {
    let mine = known.get(slot);
    if (mine === undefined) {
      mine = { ...slot, mixed: createLargePageFlags() };
      known.set(slot, mine);
      appeared(mine);
    }
    return mine;
  }

  return {
    get slots() {
      return slots.slots.map(own);
    },
    get freeId() {
      return slots.freeId;
    },
    get end() {
      return slots.end;
    },
    find(gfn) {
      const slot = slots.find(gfn);
      return slot && own(slot);
    },
    overlaps: (start, end) => slots.overlaps(start, end),
    forEachIn(start, end, visit) {
      slots.forEachIn(start, end, (slot, from, to) => visit(own(slot), from, to));
    },
    set: (region, hostLevel) => slots.set(region, hostLevel),
    checkpoint: () => slots.checkpoint(),
    digest: (digest) => slots.digest(digest),
  };
}
