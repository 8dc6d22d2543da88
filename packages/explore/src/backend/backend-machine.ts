import type { Machine } from '../machine.ts';
import { BACKEND_ACTIONS, type BackendAction, HOSTILE_LISTS, type Scene } from './actions.ts';
import { allowedRights, createLedger } from './ledger.ts';
import { BACKEND_PROPERTIES, observe } from './observe.ts';
import { createTinyGuest, type ExploredBackend, TEXT } from './tiny-guest.ts';

/** A state is how it was reached: backends are made anew and the story is told again. */
export interface BackendState {
  readonly story: readonly BackendAction[];
  readonly key: string;
  readonly broken: readonly string[];
}

/**
 * A backend with a guest of a few frames and two processors: everything that the kernel of the guest may do when it is an attacker's,
 * and what VMM, devices and hypervisor do beside it, against {@link BACKEND_PROPERTIES}. Each request is one step: what can come between
 * its parts is not looked at.
 */
export function backendMachine(
  backend: ExploredBackend,
  options: { readonly pageLists?: boolean; readonly without?: readonly BackendAction['by'][] } = {},
): Machine<BackendState, BackendAction> {
  const { pageLists = false, without = [] } = options;
  const actions = [...BACKEND_ACTIONS, ...(pageLists ? HOSTILE_LISTS : [])].filter(
    ({ by }) => !without.includes(by),
  );
  return {
    name: backend.name,
    properties: BACKEND_PROPERTIES,
    initial: () => tell(backend, []) ?? { story: [], key: '', broken: [] },
    successors({ story }, visit) {
      for (const action of actions) {
        const next = tell(backend, [...story, action]);
        if (next !== undefined) visit(action, next);
      }
    },
    key: ({ key }) => key,
    broken: ({ broken }) => broken,
    describe: ({ name }) => name,
  };
}

/** Lives a story from the beginning. `undefined` when its last action cannot happen. */
function tell(backend: ExploredBackend, story: readonly BackendAction[]): BackendState | undefined {
  const scene: Scene = {
    guest: createTinyGuest(backend, 2),
    ledger: createLedger(),
    fallen: new Set(),
    aliased: false,
  };
  for (const action of story) {
    scene.fallen.clear();
    if (!live(scene, action)) return undefined;
  }
  const key = observe(scene);
  return { story, key, broken: [...scene.fallen] };
}

/** Does one action. P12 is about the bytes before and after it. */
function live(scene: Scene, action: BackendAction): boolean {
  const { guest, ledger } = scene;
  const closed = ledger.asked && !allowedRights(ledger, guest.capabilities, TEXT).write;
  const before = closed ? guest.words(TEXT).slice() : undefined;
  if (!action.run(scene)) return false;
  if (before?.some((word, index) => word !== guest.words(TEXT)[index]) === true && !isAnew(scene))
    scene.fallen.add('P12');
  return true;
}

/** The ledger was cleared: another kernel runs, and may write. */
function isAnew({ ledger }: Scene): boolean {
  return !ledger.asked;
}
