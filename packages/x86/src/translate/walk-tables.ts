import {
  addressOf,
  frameOf,
  type Gfn,
  type Gpa,
  type Hpa,
  type Pfn,
  type PhysicalMemory,
  pageOffset,
  readU64,
  type VirtualAddress,
  virtualFrameOf,
} from '@heki/physical-memory';
import { REFUSED, type SecondLevel, SecondLevelAccess } from '@heki/second-level';
import type { PagingLevels } from '../canonical.ts';
import { decodeEntry, EntryLow, entryIndex, isLeaf, type Level, levelName } from '../entries/entry.ts';
import { reservedBits } from '../entries/reserved-bits.ts';
import { CR4, EFER } from '../registers/control-registers.ts';
import type { CpuProfile } from '../registers/cpu-profile.ts';
import { cr3Root } from '../registers/register-write.ts';
import type { PagingRegisters } from '../registers/registers.ts';
import { PageFaultCode } from './page-fault.ts';
import type { PageFaultCause, TranslationOutcome, WalkStep } from './translation.ts';

/** What a walk takes with it. */
export interface WalkContext<Fault> {
  readonly registers: PagingRegisters;
  readonly memory: PhysicalMemory<Gfn> | PhysicalMemory<Pfn>;
  readonly processor: CpuProfile;
  readonly secondLevel: SecondLevel<Fault> | undefined;
  /** Every entry read is appended here. */
  readonly steps: WalkStep[];
}

/** How a walk ended. */
export type Walked<Fault> =
  /** At a leaf; `path` are the entries used, root first and leaf last. */
  | { readonly end: 'leaf'; readonly path: readonly WalkStep[]; readonly leaf: WalkStep }
  /** At an entry that faults; `errorCode` has only P, RSVD and HLAT. */
  | { readonly end: 'fault'; readonly errorCode: number; readonly cause: PageFaultCause }
  /** At an entry that cannot be read. */
  | { readonly end: 'unreadable'; readonly outcome: TranslationOutcome<Fault> };

/** 5 with CR4.LA57, else 4. */
export function levelsOf(registers: PagingRegisters): PagingLevels {
  return (registers.cr4 & CR4.LA57) === 0n ? 4 : 5;
}

/** Walks to the leaf for `va`: from the HLAT root where that is enabled and its prefix matches (SDM 3A 4.5.1), else from CR3. */
export function walkTables<Fault>(va: VirtualAddress, context: WalkContext<Fault>): Walked<Fault> {
  const { hlat } = context.registers;
  if (hlat !== undefined && context.processor.ept?.hlat === true) {
    const ones = (1n << BigInt(hlat.prefixBits)) - 1n;
    if (va >> BigInt(64 - hlat.prefixBits) === ones) return walkFrom('hlat', hlat.pointer, va, context);
  }
  return walkFromCr3(va, context);
}

function walkFromCr3<Fault>(va: VirtualAddress, context: WalkContext<Fault>): Walked<Fault> {
  return walkFrom('cr3', cr3Root(context.registers.cr3, context.processor), va, context);
}

/*
 * The bits of a linear address under 5-level paging (SDM 3A 4.5.4):
 *
 *    63     57 56       48 47       39 38       30 29       21 20       12 11          0
 *   +---------+-----------+-----------+-----------+-----------+-----------+-------------+
 *   | = bit 56|   PML5E   |   PML4E   |   PDPTE   |    PDE    |    PTE    |   offset    |   4-KiB page
 *   +---------+-----------+-----------+-----------+-----------+-----------+-------------+
 *   | = bit 56|   PML5E   |   PML4E   |   PDPTE   |    PDE    |         offset          |   2-MiB page: PS = 1 in the PDE
 *   +---------+-----------+-----------+-----------+-----------+-------------------------+
 *   | = bit 56|   PML5E   |   PML4E   |   PDPTE   |               offset                |   1-GiB page: PS = 1 in the PDPTE
 *   +---------+-----------+-----------+-----------+-------------------------------------+
 *   |       = bit 47      |   PML4E   |  ...                                              4-level paging: the walk begins there
 *   +---------------------+-----------+---
 *
 *     level        5           4           3           2           1
 *
 * Each field is the index of one of the 512 entries of a table, whose address is in the entry before: that of the first is in CR3.
 */

/**
 * The walk from one root. At each level: the second level translates the entry's address, then P, then reserved
 * bits, then (HLAT) restart. Rights are not looked at.
 */
function walkFrom<Fault>(
  root: 'cr3' | 'hlat',
  rootTable: Gpa,
  va: VirtualAddress,
  context: WalkContext<Fault>,
): Walked<Fault> {
  const { registers, memory, processor, secondLevel, steps } = context;
  const rules = { ...processor, nxe: (registers.efer & EFER.NXE) !== 0n };
  const levels = levelsOf(registers);
  const path: WalkStep[] = [];
  const virtualFrame = virtualFrameOf(va);
  let table = rootTable;

  for (let depth: number = levels; ; depth--) {
    const level = depth as Level;
    const index = entryIndex(virtualFrame, level);
    const address = (table + index * 8) as Gpa;

    let hostAddress: Hpa | undefined;
    if (secondLevel !== undefined) {
      const first = level === levels ? SecondLevelAccess.WALK_START : 0;
      const frame = secondLevel.translate(frameOf(address), pageOffset(address), READ_ENTRY | first);
      if (frame === REFUSED) {
        const fault = secondLevel.fault as Fault;
        return {
          end: 'unreadable',
          outcome: { kind: 'second-level', at: 'paging-structure', gpa: address, fault },
        };
      }
      hostAddress = (addressOf(frame) + pageOffset(address)) as Hpa;
    }
    const value = readU64(memory as PhysicalMemory<Pfn>, hostAddress ?? (address as number as Hpa));
    if (value === undefined) return { end: 'unreadable', outcome: { kind: 'absent-table', level, address } };

    const { low, high } = value;
    const step: WalkStep = {
      level,
      root,
      address,
      hostAddress,
      low,
      high,
      entry: decodeEntry(level, low, high, processor.encryptionBit),
    };
    steps.push(step);
    path.push(step);

    const hlat = root === 'hlat' ? PageFaultCode.HLAT : 0;
    if ((low & EntryLow.P) === 0) {
      const text = `P=0 in ${levelName(level)}`;
      return { end: 'fault', errorCode: hlat, cause: { rule: 'not-present', level, text } };
    }
    const entry = (BigInt(high) << 32n) | BigInt(low);
    const wrong = entry & reservedBits(level, (low & EntryLow.PS) !== 0, rules);
    if (wrong !== 0n) {
      const text = `reserved ${nameBits(wrong)} set in ${levelName(level)}`;
      const errorCode = PageFaultCode.P | PageFaultCode.RSVD | hlat;
      return { end: 'fault', errorCode, cause: { rule: 'reserved-bit', level, text } };
    }
    if (root === 'hlat' && (low & EntryLow.R) !== 0) return walkFromCr3(va, context);
    if (isLeaf(low, level)) return { end: 'leaf', path, leaf: step };
    table = addressOf(step.entry.frame);
  }
}

const READ_ENTRY =
  SecondLevelAccess.READ | SecondLevelAccess.PAGING_STRUCTURE | SecondLevelAccess.LINEAR_VALID;

/** `bit 51`, or `bits 46 51`. */
function nameBits(mask: bigint): string {
  const bits = Array.from({ length: 64 }, (_, bit) => bit).filter(
    (bit) => ((mask >> BigInt(bit)) & 1n) === 1n,
  );
  return `${bits.length === 1 ? 'bit' : 'bits'} ${bits.join(' ')}`;
}
