import type { Machine } from '../machine.ts';
import { BACKEND_ACTIONS, type BackendAction, HOSTILE_LISTS, type Scene } from './actions.ts';
import { allowedRights, copyLedger, createLedger } from './ledger.ts';
import { BACKEND_PROPERTIES, observe } from './observe.ts';
import { createTinyGuest, type ExploredBackend, type HostPages, TEXT } from './tiny-guest.ts';

/** A point of a story. */
export interface BackendState {
  readonly key: string;
  readonly broken: readonly string[];
  /** The machine at this point, ready to go on. It is the only one: what was made of it before is gone. */
  readonly scene: () => Scene;
  /** Host memory at this point. */
  readonly pages: HostPages;
}

/** What of a backend is explored. */
export interface BackendMachineOptions {
  /** The guest hands page lists to the hypervisor itself: hostile ones can be sent. Default false. */
  readonly pageLists?: boolean | undefined;
  /** Who does nothing. Default: all do what they can. */
  readonly without?: readonly BackendAction['by'][] | undefined;
  /** States are reached again by telling their story from the beginning, although the backend could bring them back. Default false. */
  readonly retold?: boolean | undefined;
}

/**
 * A backend with a guest of a few frames and two processors: everything that the kernel of the guest may do when it is an attacker's,
 * and what VMM, devices and hypervisor do beside it, against {@link BACKEND_PROPERTIES}. Each request is one step: what can come between
 * its parts is not looked at.
 */
export function backendMachine(
  backend: ExploredBackend,
  { pageLists = false, without = [], retold = false }: BackendMachineOptions = {},
): Machine<BackendState, BackendAction> {
  const actions = [...BACKEND_ACTIONS, ...(pageLists ? HOSTILE_LISTS : [])].filter(
    ({ by }) => !without.includes(by),
  );
  return {
    name: backend.name,
    properties: BACKEND_PROPERTIES,
    initial: () => pointOf(createScene(backend), () => createScene(backend), retold),
    successors(state, visit) {
      for (const action of actions) {
        const scene = state.scene();
        if (!live(scene, action)) continue;
        const again = (): Scene => {
          const told = state.scene();
          live(told, action);
          return told;
        };
        visit(action, pointOf(scene, again, retold, state.pages));
      }
    },
    key: ({ key }) => key,
    broken: ({ broken }) => broken,
    describe: ({ name }) => name,
  };
}

function createScene(backend: ExploredBackend): Scene {
  return { guest: createTinyGuest(backend, 2), ledger: createLedger(), fallen: new Set(), aliased: false };
}

/** Where `scene` is now. @param again comes there anew, for backends that bring nothing back */
function pointOf(scene: Scene, again: () => Scene, retold: boolean, before?: HostPages): BackendState {
  const pages = scene.guest.pages(before);
  const back = retold ? undefined : scene.guest.checkpoint(pages);
  const { guest, aliased } = scene;
  const ledger = copyLedger(scene.ledger);
  const seen = observe(scene, pages);
  const broken = [...scene.fallen];
  return {
    // What an action did wrong need not have left a trace.
    key: `${seen} ${broken.join()}`,
    broken,
    pages,
    scene() {
      if (back === undefined) return again();
      back();
      return { guest, ledger: copyLedger(ledger), fallen: new Set(), aliased };
    },
  };
}

/** Does one action. Whether it could happen. P12 is about the bytes before and after it. */
function live(scene: Scene, action: BackendAction): boolean {
  const { guest, ledger, fallen } = scene;
  fallen.clear();
  const closed = ledger.asked && !allowedRights(ledger, guest.capabilities, TEXT).write;
  const before = closed ? guest.words(TEXT).slice() : undefined;
  if (!action.run(scene)) return false;
  const changed = before?.some((word, index) => word !== guest.words(TEXT)[index]) === true;
  // A ledger that was cleared belongs to another kernel, which may write.
  if (changed && ledger.asked) fallen.add('P12');
  return true;
}
