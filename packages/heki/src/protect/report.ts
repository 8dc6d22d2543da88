import type { EarlyInitResult, KernelConfig, LateInitResult } from '@heki/guest';
import type { Refusal } from '@heki/hypervisor';
import type {
  Attack,
  AttackResult,
  ControlRegisterBits,
  RamOutsideDirectMap,
  SecureKernel,
  SpecifiedDefects,
  Standing,
} from '@heki/machine';
import type { FrameRange, Gfn } from '@heki/physical-memory';
import type { Profile } from '@heki/series';
import type { Backend } from '../backend.ts';
import type { Names } from '../names/names.ts';
import type { Warning } from '../warning.ts';
import type { AttackedBytes } from './attacked-bytes.ts';
import type { GrantedRights } from './granted-rights.ts';
import type { Subject } from './subject.ts';

/** A range as a page list has it. */
export interface ListedRange extends FrameRange<Gfn> {
  /** `r-x`. */
  readonly permissions: string;
  readonly immutable: boolean;
}

/** A request of the guest, and the page list that it passed. */
export interface HypercallRecord {
  /** Of the hypercall, on KVM; `undefined` for the requests that other drivers make for the core. */
  readonly number: number | undefined;
  readonly arguments: readonly bigint[];
  /** Newest page first. Empty for other hypercalls, and for a list that no reader can decode. */
  readonly listPages: readonly (readonly ListedRange[])[];
  readonly result: number;
  /** Why the hypervisor refused it, as it reported. */
  readonly why: Refusal | undefined;
}

/** Pages with the same permissions, as they were sent. */
export interface PageCount {
  readonly pages: number;
  readonly immutable: number;
}

/** RAM that the kernel's direct map lacks, and whether Heki has asked for it all the same. */
export interface OutsideDirectMap extends RamOutsideDirectMap {
  readonly sent: boolean;
}

/** An attack without Heki and with it. */
interface ComparedAttack {
  readonly attack: Attack;
  readonly without: AttackResult;
  readonly with: AttackResult;
  readonly standing: Standing;
  /** Heki is in force, and the machine claims to stop it. */
  readonly claimed: boolean;
}

/** What a report tells beside what the machine met: names of what is at an address, and attacked bytes as code. */
export interface ReportedContents {
  readonly names: Names;
  /** By the result that has them. */
  readonly bytes: ReadonlyMap<AttackResult, AttackedBytes>;
}

/** Everything that `heki protect` found out. */
export interface ProtectReport {
  readonly subject: Subject;
  readonly profile: Profile;
  /** `--strict`. */
  readonly strict: boolean;
  /** Single defects that differ from the profile. */
  readonly defects: SpecifiedDefects;
  readonly secureKernel: SecureKernel;
  /** Mode-based execute control, or on AMD GMET: the processor has it, and it was not switched off. */
  readonly mbec: boolean;
  readonly backend: Backend;
  /** The kernel's own configuration, and the name of its file; `undefined` when one that suits Heki was assumed. */
  readonly kernelConfig: { readonly from: string; readonly config: KernelConfig } | undefined;
  readonly addedMemory: FrameRange<Gfn>;
  readonly early: EarlyInitResult;
  readonly late: LateInitResult;
  /** Bits that are pinned, and those of them that keep their value when the kernel writes another. */
  readonly pinned: ControlRegisterBits;
  readonly kept: ControlRegisterBits;
  readonly hypercalls: readonly HypercallRecord[];
  /** By permissions, `r-x`; what hypercall 14 sent. */
  readonly pages: ReadonlyMap<string, PageCount>;
  /** Pages that stay executable for the kernel because the processor cannot deny it. */
  readonly weakenedPages: number;
  /** Read back from the machine after late init. */
  readonly granted: GrantedRights;
  /** Heki protects the kernel's memory, and the hypervisor took every request. */
  readonly inForce: boolean;
  readonly outsideDirectMap: readonly OutsideDirectMap[];
  /** What of the read-only pages is a loaded crash kernel. */
  readonly crashKernel: PageCount;
  readonly attacks: readonly ComparedAttack[];
  /** What a reader must know to take the rest rightly. */
  readonly warnings: readonly Warning[];
  /** Nothing of the kernel but its page tables is in the snapshot. */
  readonly pageTablesOnly: boolean;
  /** The guest kernel's log. */
  readonly log: readonly string[];
  /** The host kernel's log. */
  readonly hostLog: readonly string[];
  /** The events of the protected machine as lines, when they were asked for. */
  readonly trace: readonly string[] | undefined;
}
