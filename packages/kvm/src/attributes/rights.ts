import { MEM_ATTR_EXEC, MEM_ATTR_IMMUTABLE, MEM_ATTR_READ, MEM_ATTR_WRITE } from '@heki/hypercall/kvm';
import type { ProtectionRange, Rights } from '@heki/hypervisor';
import type { Gfn } from '@heki/physical-memory';
import type { RawRange } from '../hypercall/read-page-list.ts';

/**
 * The rights that MEM_ATTR bits stand for. EXEC is the kernel's execution; user code may always execute what it
 * reaches through the guest's own page tables.
 */
export function rightsOfPermissions(permissions: number): Rights {
  return {
    read: true,
    write: (permissions & MEM_ATTR_WRITE) !== 0,
    supervisorExecute: (permissions & MEM_ATTR_EXEC) !== 0,
    userExecute: true,
  };
}

/** The MEM_ATTR bits for rights. User execution has none. */
export function permissionsOfRights(rights: Rights): number {
  return (
    (rights.read ? MEM_ATTR_READ : 0) |
    (rights.write ? MEM_ATTR_WRITE : 0) |
    (rights.supervisorExecute ? MEM_ATTR_EXEC : 0)
  );
}

/** A range of the contract as an entry of a page list. */
export function rawRange({ start, end, rights, immutable }: ProtectionRange): RawRange {
  const permissions = permissionsOfRights(rights) | (immutable === true ? MEM_ATTR_IMMUTABLE : 0);
  return { start, end, startOffset: 0, endOffset: 0, permissions };
}

/** An entry of a page list, whose fields were checked, as a range of the contract. */
export function rangeOfRaw({ start, end, permissions }: RawRange): ProtectionRange {
  return {
    start: start as Gfn,
    end: end as Gfn,
    rights: rightsOfPermissions(permissions),
    immutable: (permissions & MEM_ATTR_IMMUTABLE) !== 0,
  };
}
