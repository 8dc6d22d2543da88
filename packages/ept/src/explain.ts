import {
  type Gfn,
  type Gpa,
  type Hpa,
  PAGE_SIZE,
  type Pfn,
  type PhysicalMemory,
  readU64,
} from '@heki/physical-memory';
import { SecondLevelAccess } from '@heki/second-level';
import { type CpuProfile, entryIndex } from '@heki/x86';
import { type EptControls, eptFeatures } from './controls.ts';
import type { Eptp } from './eptp.ts';
import type { EptFault } from './fault.ts';
import { isLeaf, isPresent, misconfigurationOf } from './misconfiguration.ts';
import { EptAccess } from './qualification.ts';

/** One entry that a walk read. */
export interface EptStep {
  /** 5 PML5E, 4 PML4E, 3 PDPTE, 2 PDE, 1 PTE. */
  readonly level: number;
  /** Where the entry lies in host memory. */
  readonly address: Hpa;
  readonly entry: bigint;
  readonly finding: 'table' | 'leaf' | 'not-present' | 'misconfigured';
}

/** A translation explained: every entry read, the outcome, and why. */
export type EptWalk = {
  readonly steps: readonly EptStep[];
  /** Why it ended as it did, in a sentence without a capital or a full stop. */
  readonly reason: string;
} & (
  | {
      readonly allowed: true;
      readonly pfn: Pfn;
      /** The level of the leaf. */
      readonly level: number;
      /** AND of R, W, X and XU over the entries. */
      readonly rights: number;
      /** The accessed and dirty flags that the processor sets, as whole new entries. */
      readonly updates: readonly { readonly address: Hpa; readonly entry: bigint }[];
    }
  | { readonly allowed: false; readonly fault: EptFault }
);

/**
 * The EPT walk as SDM 3C 29.3 tells it, entry by entry, for readers: `createEpt` has the fast twin, which property tests
 * hold equal to this one. A pure function of the bytes in `memory`.
 *
 * @param options.verified whether every guest paging entry used before in this linear address's translation came
 * through a leaf with paging-write access; matters to guest-paging verification alone
 */
export function explainEptWalk(options: {
  readonly memory: PhysicalMemory<Pfn>;
  readonly eptp: Eptp;
  readonly processor: CpuProfile;
  readonly controls: EptControls;
  readonly gfn: Gfn;
  readonly offset: number;
  readonly access: number;
  readonly verified?: boolean;
}): EptWalk {
  const { memory, eptp, processor, controls, gfn, access } = options;
  const asked = (bits: number): boolean => (access & bits) !== 0;
  const gpa = (gfn * PAGE_SIZE + options.offset) as Gpa;
  const steps: EptStep[] = [];
  const refuse = (reason: string, fault: EptFault): EptWalk => ({ steps, reason, allowed: false, fault });
  const violation = (
    reason: string,
    deciding: bigint | undefined,
    rights: Rights,
    verification = false,
  ): EptWalk =>
    refuse(reason, {
      kind: 'ept-violation',
      gpa,
      qualification: qualificationOf({ ...options, rights, deciding, verification }),
      convertible:
        controls.virtualizationException === true &&
        !asked(EptAccess.ASYNCHRONOUS) &&
        deciding !== undefined &&
        !has(deciding, 63),
    });

  if (gfn >= 512 ** eptp.levels) {
    return violation(`the address is beyond what ${eptp.levels} levels translate`, undefined, NO_RIGHTS);
  }

  // Down the tables. The first entry that is not present or misconfigured ends the walk, whatever rights were met above.
  let table = eptp.root;
  let rights: Rights = ALL_RIGHTS;
  let above: Rights = ALL_RIGHTS;
  let leaf: EptStep | undefined;
  for (let level: number = eptp.levels; leaf === undefined; level--) {
    const index = entryIndex(gfn, level);
    const address = (table * PAGE_SIZE + index * 8) as Hpa;
    const halves = readU64<Pfn>(memory, address);
    if (halves === undefined) {
      return refuse('the host has no memory where a table should be', { kind: 'absent-table', gpa, table });
    }
    const entry = (BigInt(halves.high) << 32n) | BigInt(halves.low);
    if (!isPresent(entry, controls)) {
      steps.push({ level, address, entry, finding: 'not-present' });
      return violation(`the ${NAMES[level]} is not present`, entry, NO_RIGHTS);
    }
    const misconfiguration = misconfigurationOf(entry, level, processor, controls);
    if (misconfiguration !== undefined) {
      steps.push({ level, address, entry, finding: 'misconfigured' });
      return refuse(`the ${NAMES[level]} has ${misconfiguration}`, { kind: 'ept-misconfiguration', gpa });
    }
    above = rights;
    rights = {
      read: rights.read && has(entry, 0),
      write: rights.write && has(entry, 1),
      execute: rights.execute && has(entry, 2),
      userExecute: rights.userExecute && has(entry, 10),
    };
    const step: EptStep = {
      level,
      address,
      entry,
      finding: isLeaf(entry, level, processor) ? 'leaf' : 'table',
    };
    steps.push(step);
    if (step.finding === 'leaf') leaf = step;
    else table = frameOf(entry);
  }
  const { entry, level } = leaf;

  // Rights, over all entries together.
  const structure = asked(SecondLevelAccess.PAGING_STRUCTURE);
  const write = isWrite(access, eptp);
  const pagingWrite = controls.pagingWrite === true && has(entry, 58);
  const deny = (reason: string): EptWalk => violation(reason, entry, rights);
  if (
    asked(SecondLevelAccess.SHADOW_STACK) &&
    !asked(SecondLevelAccess.USER_ACCESS) &&
    eptp.supervisorShadowStack
  ) {
    if (!rights.read) return deny('R is 0 for a supervisor shadow-stack access');
    if (!above.write) return deny('W is 0 above the leaf for a supervisor shadow-stack access');
    if (!has(entry, 60)) return deny('the leaf is not a supervisor shadow-stack page');
  } else if (asked(SecondLevelAccess.FETCH)) {
    if (controls.modeBasedExecute === true && asked(SecondLevelAccess.USER_PAGE)) {
      if (!rights.userExecute) return deny('XU is 0 and the linear address is user-mode');
    } else if (!rights.execute) {
      return deny(
        controls.modeBasedExecute === true ? 'XS is 0 and the linear address is supervisor-mode' : 'X is 0',
      );
    }
  } else {
    if ((asked(SecondLevelAccess.READ) || structure) && !rights.read) return deny('R is 0');
    if (write && !rights.write && !(structure && pagingWrite)) {
      if (!structure) return deny('W is 0');
      return deny(
        asked(SecondLevelAccess.WRITE)
          ? 'W is 0 and the processor must set A or D in a guest paging entry'
          : 'W is 0 and with EPT A/D flags the use of a guest paging entry counts as a write',
      );
    }
  }
  if (
    !structure &&
    controls.guestPagingVerification === true &&
    has(entry, 57) &&
    !(options.verified ?? true)
  ) {
    return violation(
      'a guest paging entry came through a leaf without paging-write access',
      entry,
      rights,
      true,
    );
  }

  const updates = eptp.accessedDirty
    ? steps
        .map((step) => ({
          address: step.address,
          old: step.entry,
          entry: step.entry | (1n << 8n) | (step === leaf && write ? 1n << 9n : 0n),
        }))
        .filter((update) => update.entry !== update.old)
        .map(({ address, entry }) => ({ address, entry }))
    : [];
  const pfn = (frameOf(entry) + (gfn % 512 ** (level - 1))) as Pfn;
  const bits =
    (rights.read ? 1 : 0) |
    (rights.write ? 2 : 0) |
    (rights.execute ? 4 : 0) |
    (rights.userExecute ? 1 << 10 : 0);
  return {
    steps,
    reason: 'every right asked for is granted',
    allowed: true,
    pfn,
    level,
    rights: bits,
    updates,
  };
}

interface Rights {
  readonly read: boolean;
  readonly write: boolean;
  readonly execute: boolean;
  readonly userExecute: boolean;
}

const ALL_RIGHTS: Rights = { read: true, write: true, execute: true, userExecute: true };
const NO_RIGHTS: Rights = { read: false, write: false, execute: false, userExecute: false };
const NAMES = ['', 'PTE', 'PDE', 'PDPTE', 'PML4E', 'PML5E'];

function has(entry: bigint, bit: number): boolean {
  return ((entry >> BigInt(bit)) & 1n) === 1n;
}

function frameOf(entry: bigint): Pfn {
  return Number((entry >> 12n) & 0xff_ffff_ffffn) as Pfn;
}

/**
 * Whether EPT treats the access as a write: writes, updates of guest A and D, and with EPT A/D flags every use of a
 * guest paging entry (SDM 3C 29.3.3.2) save the PDPTE loads by MOV CR, which come without a linear address.
 */
function isWrite(access: number, eptp: Eptp): boolean {
  if ((access & SecondLevelAccess.WRITE) !== 0) return true;
  const use = SecondLevelAccess.PAGING_STRUCTURE | SecondLevelAccess.LINEAR_VALID;
  return eptp.accessedDirty && (access & use) === use;
}

/** The exit qualification, bit by bit (SDM 3C 28.2.1, table 28-7). */
function qualificationOf(violation: {
  readonly access: number;
  readonly eptp: Eptp;
  readonly processor: CpuProfile;
  readonly controls: EptControls;
  readonly rights: Rights;
  readonly deciding: bigint | undefined;
  readonly verification: boolean;
}): number {
  const { access, eptp, controls, rights, deciding } = violation;
  const features = eptFeatures(violation.processor);
  const A = SecondLevelAccess;
  const asked = (bits: number): boolean => (access & bits) !== 0;
  const structure = asked(A.PAGING_STRUCTURE);
  const write = isWrite(access, eptp);
  const linear = asked(A.LINEAR_VALID);
  const final = linear && !structure;
  const advanced = final && features.advancedViolationInfo;
  const mapsPage = rights !== NO_RIGHTS;
  const bits = [
    structure || (asked(A.READ) && (!write || features.readModifyWriteReportsRead)),
    write,
    asked(A.FETCH),
    rights.read,
    rights.write,
    rights.execute,
    rights.userExecute && controls.modeBasedExecute === true,
    linear,
    final,
    advanced && asked(A.USER_PAGE),
    advanced && asked(A.WRITABLE_PAGE),
    advanced && asked(A.EXECUTE_DISABLE_PAGE),
    asked(EptAccess.NMI_UNBLOCKING),
    asked(A.SHADOW_STACK),
    mapsPage && eptp.supervisorShadowStack && deciding !== undefined && has(deciding, 60),
    violation.verification,
    asked(EptAccess.ASYNCHRONOUS),
  ];
  return bits.reduce((qualification, set, bit) => qualification | (set ? 1 << bit : 0), 0);
}
