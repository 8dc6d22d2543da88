import { EntryHigh, EntryLow, levelName } from '../entries/entry.ts';
import { CR0, CR4, EFER, RFLAGS } from '../registers/control-registers.ts';
import type { PagingRegisters } from '../registers/registers.ts';
import type { Access } from './access.ts';
import { PageFaultCode } from './page-fault.ts';
import type { AccessRights, PageFaultCause, Rule, WalkStep } from './translation.ts';

/** A user-mode access: made at CPL 3, and not implicitly by the supervisor. */
function isUser(access: Access): boolean {
  return access.mode === 'user';
}

/** Whether the access writes: a write or a read-modify-write. */
export function isWrite(access: Access): boolean {
  return access.kind === 'write' || access.kind === 'read-modify-write';
}

/** What a path of entries, root first, grants together (SDM 3A 4.6.1). */
export function accessRights(path: readonly WalkStep[], registers: PagingRegisters): AccessRights {
  const leaf = path.at(-1);
  return {
    user: path.every((step) => (step.low & EntryLow.US) !== 0),
    writable: path.every((step) => (step.low & EntryLow.RW) !== 0),
    executeDisable: path.some((step) => (step.high & EntryHigh.XD) !== 0),
    global: leaf !== undefined && (leaf.low & EntryLow.G) !== 0 && (registers.cr4 & CR4.PGE) !== 0n,
    key: leaf?.entry.key ?? 0,
  };
}

/** The error code bits that tell what the access was (SDM 3A 4.7). */
export function accessErrorCode(access: Access, { cr4, efer }: PagingRegisters): number {
  let code = 0;
  if (isWrite(access)) code |= PageFaultCode.W;
  if (isUser(access)) code |= PageFaultCode.U;
  if (access.kind === 'fetch' && ((cr4 & CR4.SMEP) !== 0n || (efer & EFER.NXE) !== 0n)) {
    code |= PageFaultCode.ID;
  }
  return code;
}

/**
 * All rules that refuse the access on a completed walk, in the order of the checks: protection keys, then U/S, R/W and
 * XD, then SMEP and SMAP (SDM 3A 4.6.1, 4.6.2).
 */
export function permissionFaults(
  path: readonly WalkStep[],
  access: Access,
  registers: PagingRegisters,
): PageFaultCause[] {
  const { cr0, cr4, rflags, pkru, pkrs } = registers;
  const page = accessRights(path, registers);
  const user = isUser(access);
  const write = isWrite(access);
  const fetch = access.kind === 'fetch';
  const writeProtect = (cr0 & CR0.WP) !== 0n;
  const causes: PageFaultCause[] = [];
  const deny = (rule: Rule, faulty: (step: WalkStep) => boolean, text: string): void => {
    const step = path.find(faulty) ?? path.at(-1);
    if (step !== undefined) {
      causes.push({ rule, level: step.level, text: text.replace('ENTRY', levelName(step.level)) });
    }
  };

  if (!fetch) {
    if (page.user && (cr4 & CR4.PKE) !== 0n) {
      const rights = (pkru >>> (2 * page.key)) & 3;
      if ((rights & 1) !== 0) deny('protection-key-user', isLast, `PKRU access-disable, key ${page.key}`);
      else if ((rights & 2) !== 0 && write && (user || writeProtect)) {
        deny('protection-key-user', isLast, `PKRU write-disable, key ${page.key}`);
      }
    }
    if (!page.user && (cr4 & CR4.PKS) !== 0n) {
      const rights = (pkrs >>> (2 * page.key)) & 3;
      if ((rights & 1) !== 0)
        deny('protection-key-supervisor', isLast, `PKRS access-disable, key ${page.key}`);
      else if ((rights & 2) !== 0 && write && writeProtect) {
        deny('protection-key-supervisor', isLast, `PKRS write-disable, key ${page.key}`);
      }
    }
  }
  if (user && !page.user) {
    deny('user-supervisor', (step) => (step.low & EntryLow.US) === 0, 'U/S=0 in ENTRY');
  }
  if (write && !page.writable && (user || writeProtect)) {
    deny('read-write', (step) => (step.low & EntryLow.RW) === 0, 'R/W=0 in ENTRY');
  }
  if (fetch && page.executeDisable) {
    deny('execute-disable', (step) => (step.high & EntryHigh.XD) !== 0, 'XD=1 in ENTRY');
  }
  if (!user && page.user) {
    if (fetch && (cr4 & CR4.SMEP) !== 0n) deny('smep', isLast, 'SMEP: supervisor fetch from a user page');
    const allowed = access.mode === 'supervisor' && (rflags & RFLAGS.AC) !== 0n;
    if (!fetch && (cr4 & CR4.SMAP) !== 0n && !allowed) {
      deny('smap', isLast, 'SMAP: supervisor access to a user page');
    }
  }
  return causes;
}

/** Faults that lie in all entries together are shown at the leaf. */
function isLast(): boolean {
  return false;
}
