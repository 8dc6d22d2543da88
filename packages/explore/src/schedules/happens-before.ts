import { dependent, type Footprint } from './footprint.ts';

/** A step that has happened. */
export interface Event {
  readonly thread: number;
  readonly footprint: Footprint;
}

/** Two steps of different threads that depend on each other, and nothing between them that keeps their order. */
export interface Race {
  /** Place of the earlier step. */
  readonly first: number;
  /** Threads that can begin what would bring the later step before the earlier one: one of them must be tried there. */
  readonly initials: ReadonlySet<number>;
}

/**
 * Which steps of one schedule come before which, whatever the order of those that do not depend on each other: a vector clock for each step, with the number of
 * steps of each thread that it comes after, itself included.
 */
export class HappensBefore {
  readonly #events: Event[] = [];
  readonly #clocks: (readonly number[])[] = [];
  /** The number of each step among those of its thread, from 1. */
  readonly #numbers: number[] = [];

  /** Forgets the steps from `place` on. */
  cut(place: number): void {
    for (const list of [this.#events, this.#clocks, this.#numbers])
      list.length = Math.min(list.length, place);
  }

  /** The next step. The races that it is the later part of. */
  add(event: Event): Race[] {
    const { thread, footprint } = event;
    const place = this.#events.length;
    const own = this.#events.findLastIndex((one) => one.thread === thread);
    const clock = [...(this.#clocks[own] ?? [])];
    const firsts: number[] = [];
    for (let at = place - 1; at >= 0; at--) {
      const other = this.#events[at];
      if (other === undefined || covers(clock, other.thread, this.#numbers[at] ?? 0)) continue;
      if (!dependent(other.footprint, footprint)) continue;
      firsts.push(at);
      merge(clock, this.#clocks[at] ?? []);
    }
    const number = (this.#numbers[own] ?? 0) + 1;
    clock[thread] = number;
    this.#events.push(event);
    this.#clocks.push(clock);
    this.#numbers.push(number);
    return firsts.map((first) => ({ first, initials: this.#initials(first, place) }));
  }

  /** Threads whose first step among those between that do not come after `first`, and `last`, comes after none of the others. */
  #initials(first: number, last: number): ReadonlySet<number> {
    const kept: number[] = [];
    const seen = new Set<number>();
    const initials = new Set<number>();
    for (let at = first + 1; at <= last; at++) {
      // The later step comes after the earlier one by this race alone, and that is what shall be turned round.
      if (at !== last && this.#comesAfter(at, first)) continue;
      const thread = this.#events[at]?.thread ?? 0;
      if (!seen.has(thread) && !kept.some((other) => this.#comesAfter(at, other))) initials.add(thread);
      seen.add(thread);
      kept.push(at);
    }
    return initials;
  }

  #comesAfter(later: number, earlier: number): boolean {
    return covers(this.#clocks[later] ?? [], this.#events[earlier]?.thread ?? 0, this.#numbers[earlier] ?? 0);
  }

  /** What is the same for all orders of steps that do not depend on each other: each step with those that it comes after. */
  get shape(): string {
    const lines = this.#events.map(
      ({ thread }, at) =>
        `${thread}.${this.#numbers[at]}:${Array.from(this.#clocks[at] ?? [], (n) => n ?? 0)}`,
    );
    return lines.sort().join(' ');
  }
}

/** Whether a clock comes after step `number` of `thread`. */
function covers(clock: readonly number[], thread: number, number: number): boolean {
  return (clock[thread] ?? 0) >= number;
}

function merge(into: number[], clock: readonly number[]): void {
  clock.forEach((number, thread) => {
    into[thread] = Math.max(into[thread] ?? 0, number);
  });
}
