import type { Gpa, Hpa, U64, VirtualAddress } from '@heki/physical-memory';
import type { DecodedEntry, LeafLevel, Level } from '../entries/entry.ts';

/** One entry that a walk read, root first. */
export interface WalkStep {
  readonly level: Level;
  /** Which root the walk started from: CR3, or the HLAT pointer. */
  readonly root: 'cr3' | 'hlat';
  /** Guest-physical address of the entry. */
  readonly address: Gpa;
  /** Where the second level put it; `undefined` without a second level. */
  readonly hostAddress: Hpa | undefined;
  /** The entry as read, before any flag is set. */
  readonly low: number;
  readonly high: number;
  readonly entry: DecodedEntry;
}

/** A rule that refuses an access. */
export type Rule =
  | 'not-present'
  | 'reserved-bit'
  | 'protection-key-user'
  | 'protection-key-supervisor'
  | 'user-supervisor'
  | 'read-write'
  | 'execute-disable'
  | 'smep'
  | 'smap';

/** Why #PF is raised. */
export interface PageFaultCause {
  readonly rule: Rule;
  /** The uppermost entry that the rule finds fault with. */
  readonly level: Level;
  /** For people: `R/W=0 in PDE`, `SMEP: page is user-mode`, `reserved bit 51 set in PTE`. */
  readonly text: string;
}

/** What the entries of a completed walk grant together. */
export interface AccessRights {
  /** U/S = 1 in every entry. */
  readonly user: boolean;
  /** R/W = 1 in every entry. */
  readonly writable: boolean;
  /** XD = 1 in some entry. */
  readonly executeDisable: boolean;
  /** G = 1 in the leaf, under CR4.PGE. */
  readonly global: boolean;
  /** Protection key of the leaf. */
  readonly key: number;
}

/** A guest paging-structure entry whose accessed or dirty flag the processor sets. */
export interface EntryUpdate extends U64 {
  readonly level: Level;
  /** Guest-physical address of the entry. */
  readonly address: Gpa;
  /** Where the second level put it; `undefined` without a second level. */
  readonly hostAddress: Hpa | undefined;
}

/** How a translation ended. Everything that a guest can see or cause is a value here. */
export type TranslationOutcome<Fault = unknown> =
  | {
      readonly kind: 'mapped';
      /** Guest-physical address. */
      readonly gpa: Gpa;
      /** Host-physical address; without a second level, undefined. */
      readonly hpa: Hpa | undefined;
      /** Size of the guest's leaf; with paging off, 1. */
      readonly level: LeafLevel;
      readonly rights: AccessRights;
    }
  | {
      readonly kind: 'page-fault';
      readonly errorCode: number;
      /** What CR2 takes. */
      readonly address: VirtualAddress;
      /** All that is wrong, the first by the order of checks first. */
      readonly causes: readonly [PageFaultCause, ...PageFaultCause[]];
    }
  | {
      /** #GP(0), or #SS(0) for an access relative to SS: before any walk, whatever the tables hold. */
      readonly kind: 'general-protection';
      /** The address is not canonical, or CR4.LASS keeps the access out of its half of the addresses. */
      readonly reason: 'non-canonical' | 'lass';
    }
  | {
      /** There is no memory where the walk must read a table: a snapshot without it, or a bus error on a machine. */
      readonly kind: 'absent-table';
      /** Level of the entry that cannot be read. */
      readonly level: Level;
      /** Guest-physical address of that entry. */
      readonly address: Gpa;
    }
  | {
      /** The second level refused: an EPT violation or misconfiguration, a nested page fault. */
      readonly kind: 'second-level';
      /** Refused was the read of a guest entry, the write of its accessed or dirty flag, or the page itself. */
      readonly at: 'paging-structure' | 'accessed-dirty' | 'final';
      readonly gpa: Gpa;
      readonly fault: Fault;
    };

/** A translation: how it ended, and how it went there. */
export interface Translation<Fault = unknown> {
  readonly outcome: TranslationOutcome<Fault>;
  /** The entries read, in order. With HLAT, those of an abandoned walk come first. */
  readonly steps: readonly WalkStep[];
  /**
   * The guest entries whose accessed or dirty flag the processor sets, root first, with their new values. Empty
   * after #PF; set already when the second level refuses the page itself (SDM 3C 29.3.3.2).
   */
  readonly updates: readonly EntryUpdate[];
}
