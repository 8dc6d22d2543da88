import type { Machine, Property } from '../machine.ts';
import {
  ADDRESSES,
  askedFrame,
  cachedEntry,
  cachedOf,
  cacheEntry,
  EVIL_RAN,
  FRAMES,
  frameOfAddress,
  isApproved,
  LISTED,
  memoryOf,
  phaseOf,
  REMAPPED,
  rightsOf,
  stateOf,
  withApproved,
  withCachedEntry,
  withFrameOfAddress,
  withoutProcessor,
  withRequest,
  withRights,
} from './abstract-state.ts';
import type { AbstractPolicy } from './policy.ts';

/** What can happen in the abstract machine, as an index into `ACTIONS`. */
export type AbstractAction = number;

type Action =
  | { readonly kind: 'map'; readonly va: number; readonly frame: number }
  | { readonly kind: 'store'; readonly cpu: number; readonly va: number; readonly approved: boolean }
  | { readonly kind: 'fetch' | 'evict'; readonly cpu: number; readonly va: number }
  | { readonly kind: 'ask' | 'release'; readonly frame: number }
  | { readonly kind: 'owner' };

const PROCESSORS = 2;
const all = (count: number): readonly number[] => Array.from({ length: count }, (_, index) => index);

const ACTIONS: readonly Action[] = [
  ...all(ADDRESSES).flatMap((va) => all(FRAMES).map((frame): Action => ({ kind: 'map', va, frame }))),
  ...all(FRAMES).flatMap((frame): Action[] => [
    { kind: 'ask', frame },
    { kind: 'release', frame },
  ]),
  { kind: 'owner' },
  ...all(PROCESSORS).flatMap((cpu) =>
    all(ADDRESSES).flatMap((va): Action[] => [
      { kind: 'store', cpu, va, approved: false },
      { kind: 'store', cpu, va, approved: true },
      { kind: 'fetch', cpu, va },
      { kind: 'evict', cpu, va },
    ]),
  ),
];

const W = 1;
const X = 2;

/** Steps of the owner while a request is under way. */
const Phase = { NONE: 0, CHECKED: 1, FROZEN: 2, FLUSHED_ONE: 3, FLUSHED: 4 } as const;

const PROPERTIES: readonly Property[] = [
  { id: 'P6', says: 'the kernel executes only bytes that were approved' },
  { id: 'P7', says: 'the listed address leads to its own frame' },
];

/** The processor's walk: through the guest's tables, or for the listed address through the owner's. */
function walk(policy: AbstractPolicy, memory: number, va: number): number {
  return policy.hlat && va === LISTED ? 0 : frameOfAddress(memory, va);
}

/**
 * Frames, mappings, cached translations and grants, and nothing else: an attacker with the whole kernel (page tables, stores, fetches,
 * requests), against an owner of the second level. Small enough to be searched to its end.
 */
export function abstractMachine(policy: AbstractPolicy): Machine<number, AbstractAction> {
  const { processors } = policy;
  const actions = ACTIONS.map((action, index) => ({ action, index })).filter(
    ({ action }) => !('cpu' in action) || action.cpu < processors,
  );
  const flushAll = (cached: number): number => (policy.flushes ? 0 : cached);

  /** The state after `action`, or -1 when it cannot happen. */
  const after = (memory: number, cached: number, action: Action): number => {
    switch (action.kind) {
      case 'map':
        return stateOf(withFrameOfAddress(memory, action.va, action.frame), cached);
      case 'evict':
        return stateOf(memory, withCachedEntry(cached, action.cpu, action.va, 0));
      case 'store':
      case 'fetch': {
        const need = action.kind === 'store' ? W : X;
        let entry = cachedEntry(cached, action.cpu, action.va);
        // A cached translation that refuses is walked again (SDM 3C 29.4.3.1).
        if (entry === 0 || ((entry >>> 3) & need) === 0) {
          const frame = walk(policy, memory, action.va);
          entry = cacheEntry(frame, rightsOf(memory, frame));
          if (((entry >>> 3) & need) === 0) return -1;
        }
        const frame = (entry >>> 1) & 3;
        const kept = withCachedEntry(cached, action.cpu, action.va, entry);
        if (action.kind === 'store') return stateOf(withApproved(memory, frame, action.approved), kept);
        const evil = isApproved(memory, frame) ? 0 : EVIL_RAN;
        const remapped = action.va === LISTED && frame !== 0 ? REMAPPED : 0;
        return stateOf(memory | evil | remapped, kept);
      }
      case 'ask':
        return ask(memory, cached, action.frame);
      case 'release':
        return release(memory, cached, action.frame);
      case 'owner':
        return proceed(memory, cached);
    }
  };

  const ask = (memory: number, cached: number, frame: number): number => {
    if (phaseOf(memory) !== Phase.NONE || (rightsOf(memory, frame) & X) !== 0) return -1;
    if (policy.asks !== 'approved') {
      const rights = policy.asks === 'nothing' ? W | X : X;
      return stateOf(withRights(memory, frame, rights), flushAll(cached));
    }
    if (policy.looks === 'before') {
      return isApproved(memory, frame) ? stateOf(withRequest(memory, Phase.CHECKED, frame), cached) : -1;
    }
    const frozen = withRequest(withRights(memory, frame, 0), Phase.FROZEN, frame);
    return stateOf(frozen, cached);
  };

  /** A frame that is data again: never the kernel's own text, and never while it can still be executed from a cache. */
  const release = (memory: number, cached: number, frame: number): number => {
    const releasable = frame !== 0 && phaseOf(memory) === Phase.NONE && rightsOf(memory, frame) === X;
    return releasable ? stateOf(withRights(memory, frame, W), flushAll(cached)) : -1;
  };

  const proceed = (memory: number, cached: number): number => {
    const frame = askedFrame(memory);
    const done = (rights: number): number => withRights(withRequest(memory, Phase.NONE, 0), frame, rights);
    switch (phaseOf(memory)) {
      case Phase.CHECKED:
        return stateOf(done(X), flushAll(cached));
      case Phase.FROZEN:
        return stateOf(
          withRequest(memory, policy.flushes ? Phase.FLUSHED_ONE : Phase.FLUSHED, frame),
          policy.flushes ? withoutProcessor(cached, 0) : cached,
        );
      case Phase.FLUSHED_ONE:
        return stateOf(withRequest(memory, Phase.FLUSHED, frame), withoutProcessor(cached, 1));
      case Phase.FLUSHED:
        return stateOf(done(isApproved(memory, frame) ? X : W), cached);
      default:
        return -1;
    }
  };

  return {
    name: policy.name,
    properties: PROPERTIES,
    // Address 0 is the text in frame 0, executable and approved; frames 1 and 2 are data, and address 1 leads to the first of them.
    initial: () =>
      stateOf(
        withApproved(
          withRights(withRights(withRights(withFrameOfAddress(0, 1, 1), 0, X), 1, W), 2, W),
          0,
          true,
        ),
        0,
      ),
    successors(state, visit) {
      const memory = memoryOf(state);
      const cached = cachedOf(state);
      for (const { action, index } of actions) {
        const next = after(memory, cached, action);
        if (next >= 0) visit(index, next);
      }
    },
    key: (state) => state,
    broken(state) {
      const memory = memoryOf(state);
      if ((memory & (EVIL_RAN | REMAPPED)) === 0) return NONE;
      return [...((memory & EVIL_RAN) === 0 ? [] : ['P6']), ...((memory & REMAPPED) === 0 ? [] : ['P7'])];
    },
    describe: (index) => describeAction(ACTIONS[index]),
  };
}

const NONE: readonly string[] = [];

function describeAction(action: Action | undefined): string {
  switch (action?.kind) {
    case 'map':
      return `the guest maps address ${action.va} to frame ${action.frame}`;
    case 'store':
      return `processor ${action.cpu} stores ${action.approved ? 'approved' : 'other'} bytes through address ${action.va}`;
    case 'fetch':
      return `processor ${action.cpu} executes at address ${action.va}`;
    case 'evict':
      return `processor ${action.cpu} loses what it has cached of address ${action.va}`;
    case 'ask':
      return `the guest asks to execute frame ${action.frame}`;
    case 'release':
      return `the guest gives frame ${action.frame} back`;
    case 'owner':
      return 'the owner does its next step';
    default:
      return '?';
  }
}
