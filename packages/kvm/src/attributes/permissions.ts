import {
  HEKI_ATTRIBUTE_MASK,
  MEM_ATTR_EXEC,
  MEM_ATTR_READ,
  MEM_ATTR_WRITE,
  permissionsOfAttributes,
} from '@heki/hypercall/kvm';
import type { Gfn } from '@heki/physical-memory';
import type { KvmDefectSwitches } from '../defects/kvm-defects.ts';
import type { AttributeStore } from './attribute-store.ts';

/** READ, WRITE and EXEC. */
export const ALL_PERMISSIONS: number = MEM_ATTR_READ | MEM_ATTR_WRITE | MEM_ATTR_EXEC;

/** kvm_permissions_get(): the rights of frames as the attributes give them (Heki v2 10/19). */
export interface Permissions {
  /** MEM_ATTR bits of a frame. */
  of(gfn: Gfn): number;
  /** MEM_ATTR bits that an attribute value stands for. */
  fromAttributes(value: number): number;
  /** The rights of frames without attributes. */
  readonly default: number;
  /** The first protect call has succeeded. Whether this changes {@link default}. */
  begin(): boolean;
  /** Sets the rights of frames without attributes: the VMM clears or restores the state. */
  setDefault(permissions: number): void;
}

/** The rights that follow from `attributes`. */
export function createPermissions(attributes: AttributeStore, defects: KvmDefectSwitches): Permissions {
  const privateCounts = defects['B-H11'];
  let unset = ALL_PERMISSIONS;
  const fromAttributes = (value: number): number => {
    const set = privateCounts ? value !== 0 : (value & HEKI_ATTRIBUTE_MASK) !== 0;
    return set ? permissionsOfAttributes(value) : unset;
  };
  return {
    get default() {
      return unset;
    },
    fromAttributes,
    of: (gfn) => fromAttributes(attributes.get(gfn)),
    begin() {
      if (defects['B-H7'] || unset !== ALL_PERMISSIONS) return false;
      unset = MEM_ATTR_READ | MEM_ATTR_WRITE;
      return true;
    },
    setDefault(permissions) {
      unset = permissions;
    },
  };
}
