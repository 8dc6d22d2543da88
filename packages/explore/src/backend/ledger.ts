import { type Capabilities, grantableRights, type Rights, type VirtualMachine } from '@heki/hypervisor';
import type { StateDigest } from '@heki/physical-memory';

const EVERYTHING: Rights = { read: true, write: true, supervisorExecute: true, userExecute: true };

/** What the guest's frames were granted, by nothing but the answers to requests: the small model that a machine is held against. */
export interface Ledger {
  /** A request was granted since the machine, or the last reset, began. */
  asked: boolean;
  /** The rights that were granted last, by frame. */
  readonly granted: Map<number, Rights>;
  /** Frames that were made immutable, and the rights that they have had since. */
  readonly immutable: Map<number, Rights>;
  /** A request to pin control registers was granted. */
  pinned: boolean;
}

export function createLedger(): Ledger {
  return { asked: false, granted: new Map(), immutable: new Map(), pinned: false };
}

/** A copy that later answers do not change. */
export function copyLedger(ledger: Ledger): Ledger {
  return { ...ledger, granted: new Map(ledger.granted), immutable: new Map(ledger.immutable) };
}

/** Begins anew: another kernel runs. */
export function clearLedger(ledger: Ledger): void {
  ledger.asked = false;
  ledger.granted.clear();
  ledger.immutable.clear();
  ledger.pinned = false;
}

/** The most that an access to `frame` may do. */
export function allowedRights(ledger: Ledger, capabilities: Capabilities, frame: number): Rights {
  const granted = ledger.granted.get(frame);
  if (granted !== undefined) return grantableRights(capabilities, granted);
  return ledger.asked ? capabilities.unrequested : EVERYTHING;
}

/** What is in force without an access being made: the second level as it stands, or as the next fault would fill it. */
export function effective(vm: VirtualMachine, frame: number): Rights {
  const rights = vm.effectiveRights(frame as Parameters<VirtualMachine['effectiveRights']>[0]);
  return rights ?? { read: false, write: false, supervisorExecute: false, userExecute: false };
}

/** Whether `rights` let the kernel do something that `bound` does not. */
export function exceeds(rights: Rights, bound: Rights): boolean {
  return (
    (rights.read && !bound.read) ||
    (rights.write && !bound.write) ||
    (rights.supervisorExecute && !bound.supervisorExecute)
  );
}

/** Tells `digest` all of it. */
export function digestLedger({ asked, granted, immutable, pinned }: Ledger, digest: StateDigest): void {
  digest.word((asked ? 1 : 0) | (pinned ? 2 : 0));
  for (const rights of [granted, immutable]) {
    for (const frame of [...rights.keys()].sort((a, b) => a - b)) {
      const { read, write, supervisorExecute, userExecute } = rights.get(frame) ?? EVERYTHING;
      digest.add(frame);
      digest.word((read ? 1 : 0) | (write ? 2 : 0) | (supervisorExecute ? 4 : 0) | (userExecute ? 8 : 0));
    }
    digest.word(-1);
  }
}
