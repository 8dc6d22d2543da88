import {
  addressOf,
  type Gfn,
  type Gpa,
  type Hpa,
  PAGE_SIZE,
  type Pfn,
  type PhysicalMemory,
  readU64,
} from '@heki/physical-memory';
import { SecondLevelAccess } from '@heki/second-level';
import { entryIndex, type Level, levelName, reservedBits } from '@heki/x86';
import { NpfInfo1 } from './exit-info.ts';
import type { NptFault } from './fault.ts';
import { type NptSetup, resolveSetup } from './setup.ts';

/** One entry that a nested walk read. */
export interface NptStep {
  readonly level: Level;
  /** Where the entry lies in host memory. */
  readonly address: Hpa;
  readonly entry: bigint;
  readonly finding: 'table' | 'leaf' | 'not-present' | 'reserved-bit';
}

/** A nested translation explained: every entry read, the outcome, and why. */
export type NptWalk = {
  readonly steps: readonly NptStep[];
  /** Why it ended as it did, in a sentence without a capital or a full stop. */
  readonly reason: string;
} & (
  | {
      readonly allowed: true;
      readonly pfn: Pfn;
      readonly level: Level;
      /** The accessed and dirty flags that the processor sets, as whole new entries. */
      readonly updates: readonly { readonly address: Hpa; readonly entry: bigint }[];
    }
  | { readonly allowed: false; readonly fault: NptFault }
);

/**
 * The nested walk as APM 2 15.25 tells it, entry by entry, for readers: `createNpt` has the fast twin, which property
 * tests hold equal to this one. A pure function of the bytes in `memory`.
 *
 * @throws {NptError} when the processor has no nested paging, or not what a control asks for
 */
export function explainNptWalk(
  options: NptSetup & {
    readonly memory: PhysicalMemory<Pfn>;
    readonly gfn: Gfn;
    readonly offset: number;
    readonly access: number;
  },
): NptWalk {
  const { memory, gfn, access } = options;
  const { root, levels, hostNxe, hostSmep, processor, controls } = resolveSetup(options);
  const asked = (bits: number): boolean => (access & bits) !== 0;
  const gpa = (gfn * PAGE_SIZE + options.offset) as Gpa;
  const structure = asked(SecondLevelAccess.PAGING_STRUCTURE);
  // Every use of a guest page-table entry counts as a write: the processor may have to set A or D (APM 2 15.25.5).
  const write = structure || asked(SecondLevelAccess.WRITE);
  const fetch = !structure && asked(SecondLevelAccess.FETCH);
  const user = !(controls.gmet === true && fetch) || asked(SecondLevelAccess.USER_ACCESS);

  const steps: NptStep[] = [];
  const pageFault = (reason: string, code: bigint): NptWalk => ({
    steps,
    reason,
    allowed: false,
    fault: {
      kind: 'nested-page-fault',
      gpa,
      info1:
        code |
        (write ? NpfInfo1.W : 0n) |
        (user ? NpfInfo1.U : 0n) |
        (fetch && (hostNxe || hostSmep || controls.gmet === true) ? NpfInfo1.ID : 0n) |
        (structure ? NpfInfo1.PAGE_TABLE : NpfInfo1.FINAL_ADDRESS),
    },
  });
  if (gfn >= 512 ** levels) return pageFault(`the address is beyond what ${levels} levels translate`, 0n);

  const rules = { ...processor, nxe: hostNxe };
  let table = root;
  let leaf: NptStep | undefined;
  for (let depth: number = levels; leaf === undefined; depth--) {
    const level = depth as Level;
    const index = entryIndex(gfn, level);
    const address = (addressOf(table) + index * 8) as Hpa;
    const halves = readU64<Pfn>(memory, address);
    if (halves === undefined) {
      const fault: NptFault = { kind: 'absent-table', gpa, table };
      return { steps, reason: 'the host has no memory where a table should be', allowed: false, fault };
    }
    const entry = (BigInt(halves.high) << 32n) | BigInt(halves.low);
    if (!has(entry, 0)) {
      steps.push({ level, address, entry, finding: 'not-present' });
      return pageFault(`the nested ${levelName(level)} is not present`, 0n);
    }
    if ((entry & reservedBits(level, has(entry, 7), rules)) !== 0n) {
      steps.push({ level, address, entry, finding: 'reserved-bit' });
      return pageFault(`the nested ${levelName(level)} has a reserved bit set`, NpfInfo1.P | NpfInfo1.RSVD);
    }
    const isLeaf = level === 1 || (level <= 3 && has(entry, 7));
    const step: NptStep = { level, address, entry, finding: isLeaf ? 'leaf' : 'table' };
    steps.push(step);
    if (isLeaf) leaf = step;
    else table = Number((entry >> 12n) & 0xff_ffff_ffffn) as Pfn;
  }

  const deny = (reason: string): NptWalk => pageFault(reason, NpfInfo1.P);
  const userPage = steps.every(({ entry }) => has(entry, 2));
  const writable = steps.every(({ entry }) => has(entry, 1));
  const executeDisable = steps.some(({ entry }) => has(entry, 63));
  if (controls.gmet === true) {
    if (fetch && userPage && !user) return deny('GMET: supervisor mode may not execute from U/S=1');
  } else if (!userPage) {
    return deny('U/S is 0 and every nested access is a user access');
  }
  if (write && !writable && !(structure && controls.readOnlyGuestPageTables === true)) {
    return deny(
      structure ? 'R/W is 0 and the use of a guest page-table entry counts as a write' : 'R/W is 0',
    );
  }
  if (fetch && executeDisable) return deny('NX is 1');

  const updates = steps
    .map((step) => ({
      address: step.address,
      old: step.entry,
      entry: step.entry | (1n << 5n) | (step === leaf && write ? 1n << 6n : 0n),
    }))
    .filter((update) => update.entry !== update.old)
    .map(({ address, entry }) => ({ address, entry }));
  const span = 512 ** (leaf.level - 1);
  const frame = Number((leaf.entry >> 12n) & 0xff_ffff_ffffn);
  const pfn = (frame - (frame % span) + (gfn % span)) as Pfn;
  return {
    steps,
    reason: 'every right asked for is granted',
    allowed: true,
    pfn,
    level: leaf.level,
    updates,
  };
}

function has(entry: bigint, bit: number): boolean {
  return ((entry >> BigInt(bit)) & 1n) === 1n;
}
