import { MEM_ATTR_EXEC, MEM_ATTR_READ, MEM_ATTR_WRITE } from '@heki/hypercall/kvm';
import type { PermissionCounters } from '../heki-guest.ts';
import { DEFAULT_PERMISSIONS } from '../permission.ts';

/**
 * What happens to a page's counters, as a small number. Most pages of an extent share their counters, and few
 * different counters exist, so the counters themselves are kept once, as numbered states, and a change is a look-up from
 * state to state.
 */
export type CounterChange = number;

const DIFFERENCES = 27;

/** Adds -1, 0 or 1 to each counter. */
export function differenceChange(read: number, write: number, execute: number): CounterChange {
  return (read + 1) * 9 + (write + 1) * 3 + (execute + 1);
}

/** `heki_update_counters`: of the mapping's `permissions`, those in `clear` go, and those in `set` that it lacks come. */
export function updateChange(permissions: number, set: number, clear: number): CounterChange {
  const lost = clear & permissions;
  const gained = set & ~permissions;
  const difference = (bit: number) => ((gained & bit) === 0 ? 0 : 1) - ((lost & bit) === 0 ? 0 : 1);
  return differenceChange(difference(MEM_ATTR_READ), difference(MEM_ATTR_WRITE), difference(MEM_ATTR_EXEC));
}

/** `heki_check_counters`: counters of `permissions` that are 0 become 1. */
export function raiseChange(permissions: number): CounterChange {
  return DIFFERENCES + (permissions & 7);
}

const CHANGES = DIFFERENCES + 8;

/** The state in which all counters are 0. */
export const ZERO_STATE = 1;

/**
 * The states that pages' counters are in. State numbers are positive, so that 0 can say "not known yet".
 */
export class CounterStates {
  readonly #published: boolean;
  /** Read, write and execute counters of each state. */
  #counters = new Float64Array(3 * 64);
  #permissions = new Uint8Array(64);
  /** For each change: the state that each state changes to, 0 where it was not computed yet. */
  readonly #next: (Int32Array | undefined)[] = new Array<Int32Array | undefined>(CHANGES).fill(undefined);
  /** States by a hash of their counters: open addressing, 0 is free. */
  #slots = new Int32Array(256);
  /** States in use, and the number after the highest ever used. */
  #size = 0;
  #end = 1;
  readonly #free: number[] = [];

  /** @param published counters become negative and wrap, as a signed 32-bit number does (B-G7); otherwise they stop at 0 */
  constructor(published: boolean) {
    this.#published = published;
    this.#intern(0, 0, 0);
  }

  /** States in use. */
  get size(): number {
    return this.#size;
  }

  /** MEM_ATTR bits whose counters are not 0; without any, the default. */
  permissions(state: number): number {
    return this.#permissions[state] ?? 0;
  }

  counters(state: number): PermissionCounters {
    const at = 3 * state;
    return {
      read: this.#counters[at] ?? 0,
      write: this.#counters[at + 1] ?? 0,
      execute: this.#counters[at + 2] ?? 0,
    };
  }

  /** The state that `change`, made so many times, leads to from `state`. */
  next(change: CounterChange, state: number, times: number): number {
    if (times > 1) return this.#changed(change, state, times);
    const known = this.#next[change]?.[state] ?? 0;
    return known === 0 ? this.#derive(change, state) : known;
  }

  /** Forgets every state but zero and those for which `live` holds. */
  retain(live: (state: number) => boolean): void {
    const kept: number[] = [];
    this.#free.length = 0;
    for (let state = this.#end - 1; state > ZERO_STATE; state--) {
      if (live(state)) kept.push(state);
      else this.#free.push(state);
    }
    this.#size = kept.length + 1;
    for (const row of this.#next) row?.fill(0);
    this.#rehash([ZERO_STATE, ...kept]);
  }

  #changed(change: CounterChange, state: number, times: number): number {
    const { read, write, execute } = this.counters(state);
    if (change >= DIFFERENCES) {
      const raised = change - DIFFERENCES;
      const raise = (counter: number, bit: number) => (counter === 0 && (raised & bit) !== 0 ? 1 : counter);
      return this.#intern(
        raise(read, MEM_ATTR_READ),
        raise(write, MEM_ATTR_WRITE),
        raise(execute, MEM_ATTR_EXEC),
      );
    }
    const add = (counter: number, difference: number) => {
      const sum = counter + difference * times;
      return this.#published ? sum | 0 : Math.max(0, sum);
    };
    return this.#intern(
      add(read, Math.floor(change / 9) - 1),
      add(write, (Math.floor(change / 3) % 3) - 1),
      add(execute, (change % 3) - 1),
    );
  }

  /** The state that `change` leads to, to be known from now on. */
  #derive(change: CounterChange, state: number): number {
    const next = this.#changed(change, state, 1);
    let row = this.#next[change];
    if (row === undefined || row.length < this.#permissions.length) {
      const longer = new Int32Array(this.#permissions.length);
      if (row !== undefined) longer.set(row);
      row = longer;
      this.#next[change] = row;
    }
    row[state] = next;
    return next;
  }

  /** The number of the state with these counters. */
  #intern(read: number, write: number, execute: number): number {
    if (this.#free.length === 0 && this.#end >= this.#permissions.length) this.#grow();
    let slot = this.#slot(read, write, execute);
    for (let state = this.#slots[slot] ?? 0; state !== 0; state = this.#slots[slot] ?? 0) {
      const at = 3 * state;
      const counters = this.#counters;
      if (counters[at] === read && counters[at + 1] === write && counters[at + 2] === execute) return state;
      slot = (slot + 1) & (this.#slots.length - 1);
    }
    const state = this.#free.pop() ?? this.#end++;
    this.#counters.set([read, write, execute], 3 * state);
    const present =
      (read === 0 ? 0 : MEM_ATTR_READ) |
      (write === 0 ? 0 : MEM_ATTR_WRITE) |
      (execute === 0 ? 0 : MEM_ATTR_EXEC);
    this.#permissions[state] = present === 0 ? DEFAULT_PERMISSIONS : present;
    this.#slots[slot] = state;
    this.#size++;
    return state;
  }

  #slot(read: number, write: number, execute: number): number {
    let hash = Math.imul(read, 0x9e3779b1) ^ Math.imul(write, 0x85ebca77) ^ Math.imul(execute, 0xc2b2ae3d);
    hash ^= hash >>> 15;
    return hash & (this.#slots.length - 1);
  }

  /** Doubles the room. Slots stay at most a quarter full. */
  #grow(): void {
    const capacity = this.#permissions.length * 2;
    const permissions = new Uint8Array(capacity);
    permissions.set(this.#permissions);
    this.#permissions = permissions;
    const counters = new Float64Array(3 * capacity);
    counters.set(this.#counters);
    this.#counters = counters;
    this.#rehash(this.#slots.filter((state) => state !== 0));
  }

  #rehash(states: Iterable<number>): void {
    this.#slots = new Int32Array(4 * this.#permissions.length);
    for (const state of states) {
      const { read, write, execute } = this.counters(state);
      let slot = this.#slot(read, write, execute);
      while (this.#slots[slot] !== 0) slot = (slot + 1) & (this.#slots.length - 1);
      this.#slots[slot] = state;
    }
  }
}
