import {
  grantableRights,
  type ProtectionRange,
  type ProtectionResult,
  type ProtectionState,
  type Refusal,
  sameRights,
  type Weakened,
} from '@heki/hypervisor';
import { FRAME_END, type Gfn } from '@heki/physical-memory';
import { createAttributeStore } from '../attributes/attribute-store.ts';
import { isMemory } from '../attributes/check-range.ts';
import type { VmState } from '../vm-state.ts';
import {
  attributesOfRights,
  FULL_ACCESS,
  NEGATIVE_ATTRIBUTES,
  rightsOfAttributes,
} from './negative-rights.ts';
import type { OwnerPort } from './owner-port.ts';

/** The owner's mark on a frame whose rights no request of the guest changes. KVM knows nothing of it. */
const IMMUTABLE = 1 << 7;

/** Frames with the same attributes. */
export interface AttributeRange {
  readonly start: number;
  readonly end: number;
  readonly attributes: number;
}

type Grantable = Parameters<typeof grantableRights>[0];

/** The rights that the owner has set for each frame. KVM has no call to read attributes back, so that the owner keeps a table itself. */
export interface RightsTable {
  /** Whether a frame of the range is immutable. */
  isImmutable(start: number, end: number): boolean;
  /** Why the owner's own range is refused. */
  check(range: ProtectionRange): Refusal | undefined;
  /** Gives ranges that were checked what can be granted of `given`; `wanted` is what was asked for. */
  apply(
    wanted: readonly ProtectionRange[],
    given?: readonly Pick<ProtectionRange, 'rights' | 'immutable'>[],
  ): ProtectionResult;
  /** Every frame that has less than full access, or is immutable. */
  ranges(): ProtectionRange[];
  /** Frames whose attributes in KVM differ from the table, because the VMM has set them past the owner. */
  exceptions(): AttributeRange[];
  /** Forgets everything and takes the ranges of `state`, and attributes that differ from them. */
  replace(state: Pick<ProtectionState, 'ranges' | 'otherwise'>, exceptions?: readonly AttributeRange[]): void;
}

export function createRightsTable(vm: () => VmState, port: OwnerPort, capabilities: Grantable): RightsTable {
  const table = createAttributeStore();

  function give(
    { start, end }: Pick<ProtectionRange, 'start' | 'end'>,
    attributes: number,
    immutable: boolean,
  ): void {
    port.setAttributes(start, end, attributes);
    table.update(start, end, attributes | (immutable ? IMMUTABLE : 0), NEGATIVE_ATTRIBUTES | IMMUTABLE);
  }

  return {
    isImmutable: (start, end) => table.any(start, end, IMMUTABLE),
    check({ start, end }) {
      if (end <= start) return 'empty';
      return isMemory(vm(), start, end) ? undefined : 'not-memory';
    },
    apply(wanted, given = wanted) {
      const weakened: Weakened[] = [];
      for (const [index, range] of wanted.entries()) {
        const { rights, immutable } = given[index] ?? range;
        const granted = grantableRights(capabilities, rights);
        give(range, attributesOfRights(granted), immutable === true);
        if (!sameRights(granted, range.rights)) weakened.push({ range, granted });
      }
      return { applied: wanted.length, weakened };
    },
    ranges() {
      const ranges: ProtectionRange[] = [];
      table.forEach(0, FRAME_END, (start, end, value) => {
        if (value === 0) return;
        const immutable = (value & IMMUTABLE) !== 0;
        ranges.push({ start, end, rights: rightsOfAttributes(value), immutable });
      });
      return ranges;
    },
    exceptions() {
      const exceptions: AttributeRange[] = [];
      table.forEach(0, FRAME_END, (from, to, value) => {
        vm().attributes.forEach(from, to, (start, end, attributes) => {
          if (attributes !== (value & NEGATIVE_ATTRIBUTES)) exceptions.push({ start, end, attributes });
        });
      });
      return exceptions;
    },
    replace({ ranges, otherwise }, exceptions = []) {
      const everything = { start: 0 as Gfn, end: FRAME_END as Gfn, rights: otherwise };
      for (const range of [everything, ...ranges]) {
        const granted = grantableRights(capabilities, range.rights);
        give(range, attributesOfRights(granted), 'immutable' in range && range.immutable === true);
      }
      for (const { start, end, attributes } of exceptions) port.setAttributes(start, end, attributes);
    },
  };
}

/** Full access everywhere, nothing immutable. */
export const FULL_RIGHTS: Pick<ProtectionState, 'ranges' | 'otherwise'> = {
  ranges: [],
  otherwise: FULL_ACCESS,
};
