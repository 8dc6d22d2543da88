import { StateDigest } from '@heki/physical-memory';
import type { Machine } from '../machine.ts';
import { BACKEND_ACTIONS, type BackendAction, HOSTILE_LISTS, type Scene } from './actions.ts';
import { allowedRights, copyLedger, createLedger, digestLedger } from './ledger.ts';
import { BACKEND_PROPERTIES, observe } from './observe.ts';
import { createTinyGuest, type ExploredBackend, restRegisters, TEXT } from './tiny-guest.ts';

/** A point of a story: the story itself, of which the points before it are a part. A machine is brought there when it is needed. */
export interface BackendState {
  readonly before: BackendState | undefined;
  readonly action: BackendAction | undefined;
  readonly key: number | string;
  /** What has fallen, once somebody asked. */
  broken: readonly string[] | undefined;
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
 *
 * There is one machine, which is brought to the state that is looked at; where the backend cannot be brought back, a new one for every state.
 */
export function backendMachine(
  backend: ExploredBackend,
  { pageLists = false, without = [], retold = false }: BackendMachineOptions = {},
): Machine<BackendState, BackendAction> {
  const actions = [...BACKEND_ACTIONS, ...(pageLists ? HOSTILE_LISTS : [])].filter(
    ({ by }) => !without.includes(by),
  );
  const digest = new StateDigest();
  /** The machine at the beginning of every story. */
  let origin: (() => Scene) | undefined;
  let scene: Scene | undefined;
  /** Where {@link scene} is. */
  let at: BackendState | undefined;

  const begin = (): Scene => {
    if (origin !== undefined) return origin();
    const made = createScene(backend);
    origin = retold ? undefined : comeBack(made);
    return made;
  };
  const goTo = (state: BackendState): Scene => {
    const told: BackendAction[] = [];
    for (let point: BackendState | undefined = state; point?.action !== undefined; point = point.before)
      told.push(point.action);
    const machine = begin();
    for (const action of told.reverse()) live(machine, action);
    scene = machine;
    at = state;
    return machine;
  };
  /** Where `machine` is now, which was at `before` until it did `action`. */
  const arrive = (machine: Scene, before?: BackendState, action?: BackendAction): BackendState => {
    const { guest, ledger, fallen, aliased } = machine;
    digest.reset();
    guest.digest(digest);
    digestLedger(ledger, digest);
    digest.word(aliased ? 1 : 0);
    // What an action did wrong need not have left a trace.
    for (const id of fallen) digest.addText(id);
    let key: number | string = digest.number;
    let broken: readonly string[] | undefined;
    if (guest.vm.digest === undefined) {
      const seen: string[] = [];
      observe(machine, seen);
      key = `${key} ${seen.join(' ')}`;
      broken = [...fallen];
    }
    scene = machine;
    at = { before, action, key, broken };
    return at;
  };

  return {
    name: backend.name,
    properties: BACKEND_PROPERTIES,
    initial: () => arrive(begin()),
    successors(state, visit) {
      const back = retold ? undefined : comeBack(goTo(state));
      for (const action of actions) {
        const machine = back?.() ?? goTo(state);
        if (live(machine, action)) visit(action, arrive(machine, state, action));
      }
      at = undefined;
    },
    key: ({ key }) => key,
    broken(state) {
      if (state.broken === undefined) {
        const machine = at === state && scene !== undefined ? scene : goTo(state);
        observe(machine);
        at = undefined;
        state.broken = [...machine.fallen];
      }
      return state.broken;
    },
    describe: ({ name }) => name,
  };
}

function createScene(backend: ExploredBackend): Scene {
  return { guest: createTinyGuest(backend, 2), ledger: createLedger(), fallen: new Set(), aliased: false };
}

/** What brings `scene` back to where it is now, and gives it; `undefined` when its backend cannot be. */
function comeBack(scene: Scene): (() => Scene) | undefined {
  const { guest, aliased } = scene;
  const point = guest.checkpoint();
  if (point === undefined) return undefined;
  const ledger = copyLedger(scene.ledger);
  return () => {
    point();
    return { guest, ledger: copyLedger(ledger), fallen: new Set(), aliased };
  };
}

/** Does one action. Whether it could happen. P12 is about the bytes before and after it. */
function live(scene: Scene, action: BackendAction): boolean {
  const { guest, ledger, fallen } = scene;
  fallen.clear();
  const closed = ledger.asked && !allowedRights(ledger, guest.capabilities, TEXT).write;
  const before = closed ? guest.contents(TEXT) : undefined;
  if (!action.run(scene)) return false;
  restRegisters(guest);
  // A ledger that was cleared belongs to another kernel, which may write.
  if (before !== undefined && ledger.asked && guest.contents(TEXT) !== before) fallen.add('P12');
  return true;
}
