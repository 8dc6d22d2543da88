import { createStateDigest } from '@heki/physical-memory';
import { allowedRights, effective, exceeds } from '../backend/ledger.ts';
import { probe } from '../backend/probe.ts';
import type { ExploredBackend } from '../backend/tiny-guest.ts';
import type { Machine, Property } from '../machine.ts';
import { cannotHappenAgain } from '../replay.ts';
import { ACCESSES, FRAMES, REQUESTS } from './interleaved-actions.ts';
import { isNotified, RaceScene } from './race-scene.ts';
import { type Deed, describeStep, type Step } from './steps.ts';

/** A point of a story: the story itself. */
export interface InterleavedState {
  readonly before: InterleavedState | undefined;
  readonly step: Step | undefined;
  readonly key: number;
  /** What has fallen, once somebody asked. */
  broken: readonly string[] | undefined;
  /** Points that the request under way has come to; 0 without one. */
  readonly points: number;
}

const PROPERTIES: readonly Property[] = [
  { id: 'LEAF', says: 'no leaf grants more than the attributes after the call returned' },
  { id: 'TLB', says: 'no processor does more than the attributes allow after the call returned' },
  { id: 'P4', says: 'no guest harms its host' },
];

/** What is left out. */
export interface InterleavedOptions {
  /** Of the names of accesses and requests, those that hold one of these texts. Default all. */
  readonly only?: readonly string[] | undefined;
  /** Every story is a state of its own: nothing that two stories lead to counts as one. For small searches, to see that it makes no difference. Default false. */
  readonly unmerged?: boolean | undefined;
}

/**
 * A backend whose requests and faults are steps: at every point at which one yields, other processors and the host's memory management may act. Processor 0
 * makes the requests that are interrupted, processor 1 what comes between.
 *
 * @throws {RangeError} when the backend cannot be brought back to a point
 */
export function interleavedMachine(
  backend: ExploredBackend,
  { only, unmerged = false }: InterleavedOptions = {},
): Machine<InterleavedState, Step> {
  const isWanted = ({ name }: { readonly name: string }): boolean =>
    only === undefined || only.some((part) => name.includes(part));
  const requests = REQUESTS.filter(isWanted);
  const accesses = ACCESSES.filter(isWanted);
  const deedsOf = (cpu: number): Deed[] => [
    ...accesses.flatMap((access): Deed[] => [
      { kind: 'access', cpu, access, stands: false },
      { kind: 'access', cpu, access, stands: true },
    ]),
    { kind: 'go-on', cpu },
    { kind: 'evict', cpu },
  ];
  const scene = new RaceScene(backend);
  const others: readonly Deed[] = [
    ...deedsOf(1),
    ...requests.map((request): Deed => ({ kind: 'ask', cpu: 1, request })),
    ...(isNotified(scene.guest.vm) ? [{ kind: 'invalidate' } as const] : []),
  ];
  const atRest: readonly Step[] = [
    ...[...deedsOf(0), ...others].map((deed): Step => ({ kind: 'deed', deed })),
    ...requests.map((request): Step => ({ kind: 'begin', cpu: 0, request })),
  ];

  const digest = createStateDigest();
  const origin = scene.checkpoint();
  if (origin === undefined) throw new RangeError(`${backend.name} cannot be brought back to a point`);
  let stories = 0;

  /** Where {@link scene} is. */
  let at: InterleavedState | undefined;
  /** The state at the end of `steps`, told from where `back` leads; `undefined` when they cannot happen. */
  const tell = (
    back: () => void,
    steps: readonly Step[],
    before: InterleavedState | undefined,
  ): InterleavedState | undefined => {
    at = undefined;
    back();
    let points = 0;
    const possible = scene.tell(steps, () => {
      digest.reset();
      scene.digest(digest);
      points = scene.underWay === undefined ? 0 : scene.underWay.point + 1;
    });
    if (!possible) return undefined;
    // What a request has in its hands (the list that it has read, whether it will flush) no digest sees: it is told by what the request then comes to.
    if (points > 0) {
      digest.word(scene.points);
      scene.digest(digest);
    }
    at = {
      before,
      step: steps.at(-1),
      key: unmerged ? ++stories : digest.number,
      points,
      // The properties are about calls that returned.
      broken: points === 0 ? undefined : [],
    };
    return at;
  };
  /** The last point without a request under way, and the steps since. */
  const sinceRest = (state: InterleavedState): { rest: InterleavedState; steps: Step[] } => {
    const steps: Step[] = [];
    let rest = state;
    while (rest.points > 0 && rest.before !== undefined) {
      if (rest.step !== undefined) steps.push(rest.step);
      rest = rest.before;
    }
    return { rest, steps: steps.reverse() };
  };
  let latest: { readonly rest: InterleavedState; readonly back: () => void } | undefined;
  const backTo = (rest: InterleavedState): (() => void) => {
    if (latest?.rest === rest) return latest.back;
    const steps: Step[] = [];
    for (let at = rest; at.step !== undefined && at.before !== undefined; at = at.before) steps.push(at.step);
    origin();
    if (!scene.tell(steps.reverse(), () => {})) throw cannotHappenAgain(steps.map(describeStep));
    const back = scene.checkpoint() ?? origin;
    latest = { rest, back };
    return back;
  };

  return {
    name: `${backend.name}, interleaved`,
    properties: PROPERTIES,
    initial: () => tell(origin, [], undefined) ?? IMPOSSIBLE,
    successors(state, visit, line) {
      const { rest, steps } = sinceRest(state);
      const back = backTo(rest);
      const tryStep = (step: Step): void => {
        if (line !== undefined && describeStep(step) !== line) return;
        const next = tell(back, [...steps, step], state);
        if (next !== undefined) visit(step, next);
      };
      if (state.points === 0) {
        for (const step of atRest) tryStep(step);
        return;
      }
      const returned = tell(back, [...steps, RETURN], state);
      const { points } = scene;
      if (returned !== undefined && (line === undefined || describeStep(RETURN) === line))
        visit(RETURN, returned);
      for (let point = state.points - 1; point < points; point++)
        for (const deed of others) tryStep({ kind: 'at', point, deed });
    },
    key: ({ key }) => key,
    broken(state) {
      if (state.broken === undefined) {
        if (at !== state) backTo(state)();
        state.broken = judge(scene);
        at = undefined;
      }
      return state.broken;
    },
    describe: describeStep,
  };
}

const RETURN: Step = { kind: 'return' };
const IMPOSSIBLE: InterleavedState = { before: undefined, step: undefined, key: 0, points: 0, broken: [] };

/** What has fallen now. The scene is used up. */
function judge({ guest, ledger }: RaceScene): string[] {
  const fallen: string[] = [];
  const allowed = FRAMES.map(([gfn]) => [gfn, allowedRights(ledger, guest.capabilities, gfn)] as const);
  if (guest.hostHarmed) fallen.push('P4');
  for (const [gfn, most] of allowed) if (exceeds(effective(guest.vm, gfn), most)) fallen.push('LEAF');
  for (const vcpu of guest.vcpus) {
    if (vcpu.halted !== undefined) continue;
    for (const [gfn, most] of allowed) if (exceeds(probe(guest, vcpu, gfn), most)) fallen.push('TLB');
  }
  return [...new Set(fallen)];
}
