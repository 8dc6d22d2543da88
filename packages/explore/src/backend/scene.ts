import type { Rights } from '@heki/hypervisor';
import { TEXT } from './frames.ts';
import { allowedRights, copyLedger, createLedger, type Ledger } from './ledger.ts';
import { createTinyGuest, type ExploredBackend, restRegisters, type TinyGuest } from './tiny-guest.ts';

/** A machine in the middle of a story: the guest, what it was granted, and which properties have fallen. */
export interface Scene {
  readonly guest: TinyGuest;
  readonly ledger: Ledger;
  readonly fallen: Set<string>;
  /** What was looked up of the guest since it last did something: nothing of it changes until then. */
  known: { inForce?: readonly Rights[] };
}

/** Something that can happen. */
export interface BackendAction {
  readonly name: string;
  /** Who does it. The attacker has the whole kernel of the guest; others are allowed to do what they do. */
  readonly by: 'attacker' | 'vmm' | 'device' | 'hypervisor' | 'owner';
  /** Does it. `false` when it cannot happen now: the state is not looked at. */
  run(scene: Scene): boolean;
}

export function createScene(backend: ExploredBackend): Scene {
  return { guest: createTinyGuest(backend, 2), ledger: createLedger(), fallen: new Set(), known: {} };
}

/** What brings `scene` back to where it is now, and gives it; `undefined` when its backend cannot be. */
export function comeBack(scene: Scene): (() => Scene) | undefined {
  const { guest } = scene;
  const point = guest.checkpoint();
  if (point === undefined) return undefined;
  const ledger = copyLedger(scene.ledger);
  const { known } = scene;
  return () => {
    point();
    return { guest, ledger: copyLedger(ledger), fallen: new Set(), known };
  };
}

/** Does one action. Whether it could happen. P12 is about the bytes before and after it. */
export function live(scene: Scene, action: BackendAction): boolean {
  const { guest, ledger, fallen } = scene;
  fallen.clear();
  const closed = ledger.asked && !allowedRights(ledger, guest.capabilities, TEXT).write;
  const before = closed ? guest.contents(TEXT) : undefined;
  if (!action.run(scene)) return false;
  scene.known = {};
  restRegisters(guest);
  // A ledger that was cleared belongs to another kernel, which may write.
  if (before !== undefined && ledger.asked && guest.contents(TEXT) !== before) fallen.add('P12');
  return true;
}
