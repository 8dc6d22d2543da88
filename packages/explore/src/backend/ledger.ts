import {
  type Capabilities,
  type EffectiveRights,
  grantableRights,
  type Rights,
  sameRights,
  type VirtualMachine,
} from '@heki/hypervisor';
import type { StateDigest } from '@heki/physical-memory';
import { ALIAS, DATA, MEMORY, REGION, TEXT } from './frames.ts';

const EVERYTHING: Rights = { read: true, write: true, supervisorExecute: true, userExecute: true };
const NOTHING: Rights = { read: false, write: false, supervisorExecute: false, userExecute: false };

/** The frames that the ledger has rights of: one beside text and data, the last of their 2 MiB, one of other 2 MiB, the second name of the text. */
export const WATCHED_FRAMES: readonly number[] = [TEXT, DATA, DATA + 1, REGION.end - 1, 0x100, ALIAS];

/** What is asked for frames, as the ledger understands it. */
export interface AskedRange {
  readonly start: number;
  /** Exclusive. */
  readonly end: number;
  readonly rights: Rights;
  readonly immutable: boolean;
}

/**
 * What the guest's frames were granted, page by page, by the rules that the backend declares: the small model that a machine is held
 * against.
 */
export interface Ledger {
  /** A request was granted since the machine, or the last reset, began. */
  asked: boolean;
  /** The rights that were asked for last, by frame. */
  readonly granted: Map<number, Rights>;
  /** Frames that were made immutable, and the rights that they have had since. */
  readonly immutable: Map<number, Rights>;
  /** A request to pin control registers was granted. */
  pinned: boolean;
  /** The guest said that boot has ended, and was heard. */
  bootEnded: boolean;
  /** A second slot shows the region again. */
  aliased: boolean;
}

export function createLedger(): Ledger {
  return {
    asked: false,
    granted: new Map(),
    immutable: new Map(),
    pinned: false,
    bootEnded: false,
    aliased: false,
  };
}

/** A copy that later answers do not change. */
export function copyLedger(ledger: Ledger): Ledger {
  return { ...ledger, granted: new Map(ledger.granted), immutable: new Map(ledger.immutable) };
}

/** Begins anew: another kernel runs, in the same memory. */
export function clearLedger(ledger: Ledger): void {
  ledger.asked = false;
  ledger.granted.clear();
  ledger.immutable.clear();
  ledger.pinned = false;
  ledger.bootEnded = false;
}

/** The guest frame that is the same memory, or was: what is withheld from bytes outlives a name of theirs. */
function otherName(frame: number): number | undefined {
  const size = REGION.end - REGION.start;
  if (frame >= ALIAS && frame < ALIAS + size) return frame - ALIAS + REGION.start;
  return frame >= REGION.start && frame < REGION.end ? frame - REGION.start + ALIAS : undefined;
}

/** Whether the frame is memory. */
export function isMemory({ aliased }: Ledger, frame: number): boolean {
  return frame < MEMORY.frames || (aliased && frame >= ALIAS);
}

/** What an access to `frame` may do, no more and no less. */
export function allowedRights(ledger: Ledger, capabilities: Capabilities, frame: number): Rights {
  const granted = ledger.granted.get(frame);
  const own =
    granted !== undefined
      ? grantableRights(capabilities, granted)
      : ledger.asked
        ? capabilities.unrequested
        : EVERYTHING;
  const other = ledger.granted.get(otherName(frame) ?? -1);
  if (other === undefined) return own;
  // What may not be read or stored to under one name may not be under the other. Each name has its own right to execute, unless nobody asked for it.
  const bound = grantableRights(capabilities, other);
  const read = own.read && bound.read;
  const executable = read && (granted !== undefined || bound.supervisorExecute);
  return {
    read,
    write: own.write && bound.write,
    supervisorExecute: own.supervisorExecute && executable,
    userExecute: own.userExecute && read && (granted !== undefined || bound.userExecute),
  };
}

/** How many of the ranges should be taken before the first that is refused; `undefined` where the backend may decide. */
function taken(
  ledger: Ledger,
  { immutability, readDenial }: Capabilities,
  ranges: readonly AskedRange[],
  by: 'guest' | 'owner',
): number | undefined {
  if (by === 'guest' && ledger.bootEnded) return 0;
  const undone =
    by === 'owner' && immutability.kind === 'per-page' && immutability.undoneBy === 'policy-owner';
  const isFixed = (start: number, end: number): boolean =>
    [...ledger.immutable.keys()].some((frame) =>
      [frame, otherName(frame)].some((name = -1) => name >= start && name < end),
    );
  const highest = ledger.aliased ? ALIAS + REGION.end - REGION.start : MEMORY.frames;
  for (const [at, { start, end, rights }] of ranges.entries()) {
    // Reading that cannot be withheld must be asked for; where it can be, more may be given than was asked for.
    if (!rights.read && readDenial) return undefined;
    const bad = !rights.read || start >= end || end > highest || !isMemory(ledger, start);
    if (bad || (!undone && isFixed(start, end))) return at;
  }
  return ranges.length;
}

/** All of a request was done, what came before the first range that was refused, or nothing. */
type Answer = 'done' | 'stopped' | 'refused';

/** Puts what was answered into the ledger. Whether the answer is one that the rules give. */
export function answered(
  ledger: Ledger,
  capabilities: Capabilities,
  ranges: readonly AskedRange[],
  by: 'guest' | 'owner',
  answer: Answer,
): boolean {
  const expected = taken(ledger, capabilities, ranges, by);
  const done = answer === 'done' ? ranges.length : answer === 'stopped' ? (expected ?? 0) : 0;
  const perPage = capabilities.immutability.kind === 'per-page';
  for (const { start, end, rights, immutable } of ranges.slice(0, done)) {
    ledger.asked = true;
    for (const frame of WATCHED_FRAMES) {
      if (frame < start || frame >= end) continue;
      ledger.granted.set(frame, rights);
      if (immutable && perPage) {
        if (!ledger.immutable.has(frame)) ledger.immutable.set(frame, rights);
      } else if (by === 'owner') ledger.immutable.delete(frame);
    }
  }
  if (answer === 'stopped' && capabilities.failure === 'all-or-nothing') return false;
  return expected === undefined || (answer === 'done') === (expected === ranges.length);
}

/** What is in force without an access being made: the second level as it stands, or as the next fault would fill it. */
export function effective(vm: VirtualMachine, frame: number): EffectiveRights {
  const rights = vm.effectiveRights(frame as Parameters<VirtualMachine['effectiveRights']>[0]);
  return rights ?? { ...NOTHING, present: false };
}

/** Whether `rights` let the kernel do something that `bound` does not. */
export function exceeds(rights: Rights, bound: Rights): boolean {
  return (
    (rights.read && !bound.read) ||
    (rights.write && !bound.write) ||
    (rights.supervisorExecute && !bound.supervisorExecute)
  );
}

/** Whether `rights` are what is `allowed`. A leaf that is there may grant less, where the next fault grants the rest (`nx_huge_pages`). */
export function agrees(rights: EffectiveRights, allowed: Rights): boolean {
  if (sameRights(rights, allowed)) return true;
  return rights.present && !exceeds(rights, allowed) && (allowed.userExecute || !rights.userExecute);
}

/** Rights as a number; -1 for none that were asked for. */
function bitsOf(rights: Rights | undefined): number {
  if (rights === undefined) return -1;
  const { read, write, supervisorExecute, userExecute } = rights;
  return (read ? 1 : 0) | (write ? 2 : 0) | (supervisorExecute ? 4 : 0) | (userExecute ? 8 : 0);
}

/** Tells `digest` all of it. */
export function digestLedger(ledger: Ledger, digest: StateDigest): void {
  const { asked, granted, immutable, pinned, bootEnded, aliased } = ledger;
  digest.word((asked ? 1 : 0) | (pinned ? 2 : 0) | (bootEnded ? 4 : 0) | (aliased ? 8 : 0));
  for (const rights of [granted, immutable]) {
    for (const frame of WATCHED_FRAMES) digest.word(bitsOf(rights.get(frame)));
  }
}
