import {
  addressOf,
  frameOf,
  type Gfn,
  type Gpa,
  type Hpa,
  type Pfn,
  type PhysicalMemory,
  pageOffset,
  type VirtualAddress,
  virtualFrameOf,
  writeU64,
} from '@heki/physical-memory';
import { REFUSED, type SecondLevel, SecondLevelAccess } from '@heki/second-level';
import { isCanonical } from '../canonical.ts';
import { EntryLow, framesOfLevel, type LeafLevel } from '../entries/entry.ts';
import { X86Error } from '../error.ts';
import { CR0, CR4, EFER } from '../registers/control-registers.ts';
import type { CpuProfile } from '../registers/cpu-profile.ts';
import { INTEL_VT_RP } from '../registers/cpu-profiles.ts';
import type { PagingRegisters } from '../registers/registers.ts';
import { type Access, accessBits } from './access.ts';
import { violatesLass } from './lass.ts';
import { PageFaultCode } from './page-fault.ts';
import { accessErrorCode, accessRights, isWrite, permissionFaults } from './permission.ts';
import type { AccessRights, EntryUpdate, Translation, TranslationOutcome, WalkStep } from './translation.ts';
import { levelsOf, walkTables } from './walk-tables.ts';

/** With paging off every linear address is user-mode, writable and executable (SDM 3C 28.2.1, table 28-7). */
const UNPAGED: AccessRights = { user: true, writable: true, executeDisable: false, global: false, key: 0 };

const WRITE_FLAG =
  SecondLevelAccess.WRITE | SecondLevelAccess.PAGING_STRUCTURE | SecondLevelAccess.LINEAR_VALID;

/**
 * Translates the linear address `va` for one access as the processor does (SDM 3A 4.5 to 4.8; with a second level
 * SDM 3C 29.3), and tells every step.
 *
 * Nothing is written: the accessed and dirty flags that the processor would set are in `updates`, for
 * {@link applyUpdates}. (A second level may set flags in tables of its own.)
 *
 * @param memory where tables are read: guest-physical memory, or with a second level the host's
 * @param va 0 .. 2^64 - 1; with CR0.PG = 0 only its low 32 bits count
 * @param processor default {@link INTEL_VT_RP}
 * @throws {X86Error} when paging is on outside long mode: 32-bit and PAE paging are not modelled
 */
export function translate<Fault = unknown>(
  registers: PagingRegisters,
  memory: PhysicalMemory<Gfn> | PhysicalMemory<Pfn>,
  va: VirtualAddress,
  access: Access,
  processor: CpuProfile = INTEL_VT_RP,
  secondLevel?: SecondLevel<Fault>,
): Translation<Fault> {
  const steps: WalkStep[] = [];
  const ended = (outcome: TranslationOutcome<Fault>, updates: readonly EntryUpdate[] = []) => {
    return { outcome, steps, updates };
  };

  if ((registers.cr0 & CR0.PG) === 0n) {
    return ended(
      finalAccess(
        Number(BigInt.asUintN(32, va)) as Gpa,
        1,
        UNPAGED,
        access,
        secondLevel,
        SecondLevelAccess.WALK_START,
      ),
    );
  }
  if ((registers.efer & EFER.LMA) === 0n) {
    throw new X86Error('paging outside long mode is not modelled: expected EFER.LMA = 1 with CR0.PG = 1');
  }
  if (!isCanonical(virtualFrameOf(va), levelsOf(registers))) {
    return ended({ kind: 'general-protection', reason: 'non-canonical' });
  }
  if (violatesLass(va, access, registers)) return ended({ kind: 'general-protection', reason: 'lass' });

  const walk = walkTables(va, { registers, memory, processor, secondLevel, steps });
  const pageFault = (code: number) => code | accessErrorCode(access, registers);
  if (walk.end === 'unreadable') return ended(walk.outcome);
  if (walk.end === 'fault') {
    const errorCode = pageFault(walk.errorCode);
    return ended({ kind: 'page-fault', errorCode, address: va, causes: [walk.cause] });
  }

  const { path, leaf } = walk;
  const [cause, ...more] = permissionFaults(path, access, registers);
  if (cause !== undefined) {
    const causes = [cause, ...more] as const;
    const keys = causes.some(({ rule }) => rule.startsWith('protection-key')) ? PageFaultCode.PK : 0;
    const errorCode = pageFault(PageFaultCode.P | keys);
    return ended({ kind: 'page-fault', errorCode, address: va, causes });
  }

  const updates = flagUpdates(path, isWrite(access), processor);
  // Each is checked, root first, before any is done; only then comes the page itself.
  for (const { address } of updates) {
    if (secondLevel?.translate(frameOf(address), pageOffset(address), WRITE_FLAG) === REFUSED) {
      return ended(refused('accessed-dirty', address, secondLevel));
    }
  }
  const level = leaf.level as LeafLevel;
  const offset = Number(va & (BigInt(framesOfLevel(level)) * 4096n - 1n));
  const address = (addressOf(leaf.entry.frame) + offset) as Gpa;
  const rights = accessRights(path, registers);
  return ended(finalAccess(address, level, rights, access, secondLevel), updates);
}

/** Writes the flags that a translation says the processor sets. `memory` is what the translation read. */
export function applyUpdates(
  memory: PhysicalMemory<Gfn> | PhysicalMemory<Pfn>,
  updates: readonly EntryUpdate[],
): void {
  for (const update of updates) {
    writeU64(memory as PhysicalMemory<Pfn>, update.hostAddress ?? (update.address as number as Hpa), update);
  }
}

/**
 * A is set in every entry used, D in the leaf by a write; what is set already is not written (SDM 3A 4.8). A write with
 * CR0.WP = 0 through a leaf with R/W = 0 sets D there, except on a processor that supports CET: such a one never sets D in an entry
 * whose R/W is 0 (the last paragraph of 4.8), so that such an entry can stand for a shadow stack.
 */
function flagUpdates(path: readonly WalkStep[], write: boolean, processor: CpuProfile): EntryUpdate[] {
  const updates: EntryUpdate[] = [];
  for (const { level, address, hostAddress, low, high, entry } of path) {
    const readOnly = (low & EntryLow.RW) === 0;
    const dirty = write && entry.leaf && !(readOnly && (processor.cr4 & CR4.CET) !== 0n);
    const flags = EntryLow.A | (dirty ? EntryLow.D : 0);
    if ((low & flags) !== flags)
      updates.push({ level, address, hostAddress, low: (low | flags) >>> 0, high });
  }
  return updates;
}

/** The access to the page itself, which the second level has the last word on; `more` of it that it should know. */
function finalAccess<Fault>(
  address: Gpa,
  level: LeafLevel,
  rights: AccessRights,
  access: Access,
  secondLevel: SecondLevel<Fault> | undefined,
  more = 0,
): TranslationOutcome<Fault> {
  if (secondLevel === undefined) return { kind: 'mapped', gpa: address, hpa: undefined, level, rights };
  const bits = accessBits(access);
  let asked: number = SecondLevelAccess.LINEAR_VALID | (bits & DATA_OR_FETCH) | more;
  if (access.mode === 'user') asked |= SecondLevelAccess.USER_ACCESS;
  if (rights.user) asked |= SecondLevelAccess.USER_PAGE;
  if (rights.writable) asked |= SecondLevelAccess.WRITABLE_PAGE;
  if (rights.executeDisable) asked |= SecondLevelAccess.EXECUTE_DISABLE_PAGE;
  const frame = secondLevel.translate(frameOf(address), pageOffset(address), asked);
  if (frame === REFUSED) return refused('final', address, secondLevel);
  return {
    kind: 'mapped',
    gpa: address,
    hpa: (addressOf(frame) + pageOffset(address)) as Hpa,
    level,
    rights,
  };
}

/** READ, WRITE and FETCH, which `AccessBits` and `SecondLevelAccess` number alike. */
const DATA_OR_FETCH = SecondLevelAccess.READ | SecondLevelAccess.WRITE | SecondLevelAccess.FETCH;

function refused<Fault>(
  at: 'accessed-dirty' | 'final',
  address: Gpa,
  secondLevel: SecondLevel<Fault>,
): TranslationOutcome<Fault> {
  return { kind: 'second-level', at, gpa: address, fault: secondLevel.fault as Fault };
}
