import { EptLow } from '@heki/ept';
import { XenAccess, type XenAccessType } from '@heki/hypercall/xen';
import type { Rights } from '@heki/hypervisor';

/** What an access type grants to a page of ordinary memory; one that changes at the first access, what it grants before. */
export function rightsOfAccess(access: XenAccessType): Rights {
  if (access === XenAccess.RX2RW) return rightsOfAccess(XenAccess.RX);
  if (access === XenAccess.N2RWX) return rightsOfAccess(XenAccess.N);
  const execute = (access & XenAccess.X) !== 0;
  return {
    read: (access & XenAccess.R) !== 0,
    write: (access & XenAccess.W) !== 0,
    supervisorExecute: execute,
    userExecute: execute,
  };
}

/**
 * The access type for rights. There is one right to execute: it stays for both as soon as one of them has it,
 * because a page that lost it would be lost to user code too.
 */
export function accessOfRights(rights: Rights): XenAccessType {
  const execute = rights.supervisorExecute || rights.userExecute;
  return ((rights.read ? XenAccess.R : 0) |
    (rights.write ? XenAccess.W : 0) |
    (execute ? XenAccess.X : 0)) as XenAccessType;
}

/**
 * Whether EPT can hold an access type. `w` and `wx` it cannot, a writable entry that is not readable is a misconfiguration
 * (SDM 3C 29.3.3.1; libvmi 38: they were accepted); `x` needs a processor with execute-only entries.
 */
export function isExpressible(access: XenAccessType, executeOnly: boolean): boolean {
  if (access === XenAccess.W || access === XenAccess.WX) return false;
  return access !== XenAccess.X || executeOnly;
}

/** EPT rights of a page with `access`; `readOnly` is p2m type ram_ro. X stands for both kinds of execution. */
export function eptRightsOf(access: XenAccessType, readOnly: boolean): number {
  const { read, write, supervisorExecute } = rightsOfAccess(access);
  return (
    (read ? EptLow.R : 0) |
    (write && !readOnly ? EptLow.W : 0) |
    (supervisorExecute ? EptLow.X | EptLow.XU : 0)
  );
}
