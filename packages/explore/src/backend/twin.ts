import type { EffectiveRights } from '@heki/hypervisor';
import { createStateDigest } from '@heki/physical-memory';
import { digestValue } from './digest-value.ts';
import { agrees, copyLedger, effective, WATCHED_FRAMES } from './ledger.ts';
import { type BackendAction, live, type Scene } from './scene.ts';
import { createTinyGuest, type ExploredBackend, type TinyGuest } from './tiny-guest.ts';

/** Another machine of a backend, which goes on from where one is: with its memory and registers, and with what it has saved. */
export interface Twin {
  /** Whether the same is enforced there as in `scene`; `number` tells that from others ({@link numberOfEnforced}). `true` where there is nothing to compare: nothing can be saved now, or a processor stands still. */
  isAlike(scene: Scene, number: number): boolean;
  /** Does there what `scene` could do now. What is enforced there then; 'refused' when it does not take what was saved, `undefined` where there is nothing to compare. */
  live(scene: Scene, action: BackendAction): Enforced | 'refused' | undefined;
}

/** What a machine enforces. */
export interface Enforced {
  /** A number that tells what it saves from others. */
  readonly saved: number;
  /** The rights of watched frames. */
  readonly rights: readonly EffectiveRights[];
}

export function createTwin(backend: ExploredBackend): Twin {
  const digest = createStateDigest();
  /** What was found of points where the same is enforced: the bytes of memory have no part in it. */
  const known = new Map<number, boolean>();
  let kept: { readonly guest: TinyGuest; readonly back: () => void } | undefined;
  const begin = (): TinyGuest => {
    if (kept !== undefined) {
      kept.back();
      return kept.guest;
    }
    const guest = createTinyGuest(backend, 2);
    const back = guest.checkpoint();
    if (back !== undefined) kept = { guest, back };
    return guest;
  };
  /** The twin where `from` is; 'refused' when it does not take what was saved, `undefined` where there is nothing to compare. */
  const goOn = ({ guest: from, ledger }: Scene): TinyGuest | 'refused' | undefined => {
    if (from.vcpus.some(({ halted }) => halted !== undefined)) return undefined;
    const state = from.vm.save();
    if (state === undefined) return undefined;
    const twin = begin();
    if (ledger.aliased) twin.addAlias();
    twin.takeOver(from);
    return twin.vm.restore(state) ? twin : 'refused';
  };
  return {
    isAlike(scene, number) {
      digest.reset();
      digest.add(number);
      for (const { registers, halted } of scene.guest.vcpus) {
        const { cr0, cr3, cr4, efer } = registers;
        for (const register of [cr0, cr3, cr4, efer]) digest.addU64(register);
        digest.word(halted === undefined ? 0 : 1);
      }
      digest.word(scene.ledger.aliased ? 1 : 0);
      const key = digest.number;
      const before = known.get(key);
      if (before !== undefined) return before;
      const guest = goOn(scene);
      const alike =
        guest === undefined || (guest !== 'refused' && sameEnforced(enforced(guest), enforced(scene.guest)));
      known.set(key, alike);
      return alike;
    },
    live(scene, action) {
      const guest = goOn(scene);
      if (guest === undefined || guest === 'refused') return guest;
      live({ guest, ledger: copyLedger(scene.ledger), fallen: new Set(), known: {} }, action);
      return enforced(guest);
    },
  };
}

export function enforced({ vm }: TinyGuest): Enforced {
  NUMBERED.reset();
  digestValue(vm.save(), NUMBERED);
  return {
    saved: NUMBERED.number,
    rights: WATCHED_FRAMES.map((frame) => effective(vm, frame)),
  };
}

/** A number for what a machine enforces, that nothing else has. */
export function numberOfEnforced(guest: TinyGuest): number {
  const { saved, rights } = enforced(guest);
  NUMBERED.reset();
  NUMBERED.add(saved);
  digestValue(rights, NUMBERED);
  return NUMBERED.number;
}

const NUMBERED = createStateDigest();

/** Whether the same is enforced. Which leaves are there is not compared. */
export function sameEnforced(a: Enforced, b: Enforced): boolean {
  if (a.saved !== b.saved) return false;
  return a.rights.every((rights, index) => {
    const other = b.rights[index];
    return other !== undefined && (agrees(rights, other) || agrees(other, rights));
  });
}
