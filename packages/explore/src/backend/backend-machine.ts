import { createStateDigest } from '@heki/physical-memory';
import type { Machine } from '../machine.ts';
import { cannotHappenAgain } from '../replay.ts';
import { BACKEND_ACTIONS } from './actions.ts';
import { FRAMES } from './frames.ts';
import { digestLedger } from './ledger.ts';
import { BACKEND_PROPERTIES } from './observe.ts';
import { HOSTILE_LISTS } from './requests.ts';
import { type BackendAction, comeBack, createScene, live, type Scene } from './scene.ts';
import type { ExploredBackend } from './tiny-guest.ts';
import { createTwin, enforced, sameEnforced } from './twin.ts';
import { brokenHere, createVerdicts, type StateParts } from './verdicts.ts';

/** A point of a story: the story itself, of which the points before it are a part. A machine is brought there when it is needed. */
export interface BackendState extends StateParts {
  readonly before: BackendState | undefined;
  readonly action: BackendAction | undefined;
  readonly key: number | string;
  /** What the last action broke. */
  readonly fallen: readonly string[];
  /** What has fallen, where it was looked at on arrival. */
  readonly broken: readonly string[] | undefined;
}

/** What of a backend is explored. */
export interface BackendMachineOptions {
  /** The guest hands page lists to the hypervisor itself: hostile ones can be sent. Default false. */
  readonly pageLists?: boolean | undefined;
  /** Who does nothing. Default: all do what they can. */
  readonly without?: readonly BackendAction['by'][] | undefined;
  /** States are reached again by telling their story from the beginning, although the backend could bring them back. Default false. */
  readonly retold?: boolean | undefined;
  /**
   * Every action is also done on another machine that goes on from what was saved (P13), not only what is enforced there compared. Costs as much again.
   * Default false.
   */
  readonly squares?: boolean | undefined;
}

/** A point that is only gone on from: nothing is asked of it. */
const UNSEEN: BackendState = {
  before: undefined,
  action: undefined,
  key: '',
  rights: 0,
  vcpus: [],
  fallen: [],
  broken: undefined,
};

/**
 * A backend with a guest of a few frames and two processors: everything that the kernel of the guest may do when it is an attacker's,
 * and what VMM, devices and hypervisor do beside it, against `BACKEND_PROPERTIES`. Each request is one step: what can come between
 * its parts is not looked at.
 *
 * There is one machine, which is brought to the state that is looked at; where the backend cannot be brought back, a new one for every state.
 */
export function backendMachine(
  backend: ExploredBackend,
  { pageLists = false, without = [], retold = false, squares = false }: BackendMachineOptions = {},
): Machine<BackendState, BackendAction> {
  const actions = [...BACKEND_ACTIONS, ...(pageLists ? HOSTILE_LISTS : [])].filter(
    ({ by }) => !without.includes(by),
  );
  const byName = new Map(actions.map((action) => [action.name, action]));
  const digest = createStateDigest();
  const twin = createTwin(backend);
  const verdicts = createVerdicts();
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
    for (const action of told.reverse())
      if (!live(machine, action)) throw cannotHappenAgain(told.map(({ name }) => name));
    scene = machine;
    at = state;
    return machine;
  };
  /** Where `machine` is now, which was at `before` until it did `action`. */
  const arrive = (machine: Scene, before?: BackendState, action?: BackendAction): BackendState => {
    const { guest, ledger, fallen } = machine;
    digest.reset();
    guest.digestRights(digest);
    digestLedger(ledger, digest);
    const rights = digest.number;
    const vcpus = guest.vcpus.map((vcpu) => {
      digest.reset();
      vcpu.digest(digest);
      return digest.number;
    });
    digest.reset();
    for (const part of [rights, ...vcpus, ...FRAMES.map(guest.contents)]) digest.add(part);
    // What an action did wrong need not have left a trace.
    for (const id of fallen) digest.addText(id);
    let key: number | string = digest.number;
    let broken: readonly string[] | undefined;
    if (guest.vm.digest === undefined) {
      const seen: string[] = [];
      broken = [...fallen, ...brokenHere(machine, twin, seen)];
      key = `${key} ${seen.join(' ')}`;
    }
    scene = machine;
    at = { before, action, key, rights, vcpus, fallen: [...fallen], broken };
    return at;
  };

  return {
    name: backend.name,
    properties: BACKEND_PROPERTIES,
    initial: () => arrive(begin()),
    successors(state, visit, line) {
      const back = retold ? undefined : comeBack(goTo(state));
      for (const action of actions) {
        if (line !== undefined && action.name !== line) continue;
        const machine = back?.() ?? goTo(state);
        const there = squares ? twin.live(machine, action) : undefined;
        if (!live(machine, action)) continue;
        if (there === 'refused' || (there !== undefined && !sameEnforced(there, enforced(machine.guest))))
          machine.fallen.add('P13');
        visit(action, arrive(machine, state, action));
      }
      at = undefined;
    },
    after(story) {
      let state: BackendState = UNSEEN;
      for (const line of story) {
        const action = byName.get(line);
        if (action === undefined) return undefined;
        state = { ...UNSEEN, before: state, action };
      }
      return state;
    },
    key: ({ key }) => key,
    broken(state, wanted) {
      if (state.broken !== undefined) return state.broken;
      const wantedTwin = wanted?.has('P13') === false ? undefined : twin;
      const there = (): Scene => (at === state && scene !== undefined ? scene : goTo(state));
      const broken = retold ? brokenHere(there(), wantedTwin) : verdicts.broken(state, there, wantedTwin);
      at = undefined;
      return [...new Set([...state.fallen, ...broken])];
    },
    describe: ({ name }) => name,
  };
}
