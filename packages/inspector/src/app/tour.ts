import type { WalkQuery } from '../model/inspector-model.ts';
import { routeTo, walkRoute } from './route.ts';

/** A guided tour: steps, each at a place of the inspector. */
export interface Tour {
  readonly id: string;
  readonly title: string;
  /** What one knows in the end. */
  readonly about: string;
  readonly steps: readonly TourStep[];
}

export interface TourStep {
  readonly text: string;
  /** Where it is shown. */
  readonly hash: string;
  /** What is seen there and the text speaks of, word for word: tests look for it. */
  readonly shows: string;
}

const step = (hash: string, shows: string, text: string): TourStep => ({ hash, shows, text });

/** A walk of the kernel that comes with heki. */
export function atWalk(
  address: string,
  shows: string,
  text: string,
  more: Partial<WalkQuery> = {},
): TourStep {
  return step(walkRoute({ address, access: 'read', user: false, edits: {}, ...more }), shows, text);
}

/** The first event of a boot that has `event` in its text. */
export function atEvent(event: string, shows: string, text: string, machine = 'hardened'): TourStep {
  return step(routeTo('time', { machine, event }), shows, text);
}

/** An attack on two machines. */
export function atAttack(
  attack: string,
  [left, right]: readonly [string, string],
  shows: string,
  text: string,
): TourStep {
  return step(routeTo('attacks', { attack, left, right }), shows, text);
}
