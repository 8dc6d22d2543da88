/** What of a module of the user's runs, for messages: `createVirtualMachine` of `./mine.mjs`. */
export interface ModuleCall {
  /** As the user wrote it. */
  readonly file: string;
  readonly what: string;
}

/** What a thread that runs modules tells the one that looks after it. */
export interface ModuleWatch {
  /** Shared: see {@link Cell}. */
  readonly cells: Int32Array;
  /** Is told every call before it is made for the first time; its index is the count of those before, from 1. */
  readonly onCall: (call: ModuleCall) => void;
}

/** Elements of the cells: each call and each return counts as a turn; the call that runs now, and the last one, 0 when there is none. */
export const Cell = { TURNS: 0, RUNNING: 1, LAST: 2, MACHINES: 3 } as const;

let watch: ModuleWatch = { cells: new Int32Array(4), onCall: () => {} };
const calls: ModuleCall[] = [];
/** Where each stands in `calls`, by its file and what it is. */
const indices = new Map<string, number>();

/** From now on `other` is told of calls. */
export function watchModules(other: ModuleWatch): void {
  watch = other;
}

/** What `body` gives, code of the module at `file`: whoever watches sees that it runs, and that it comes back. */
export function inModule<Value>(file: string, what: string, body: () => Value): Value {
  const index = indexOf(file, what);
  const outer = Atomics.load(watch.cells, Cell.RUNNING);
  turn(index, index);
  try {
    return body();
  } finally {
    turn(outer, index);
  }
}

/** The same of code that gives a promise: it runs until that is settled. */
export async function awaitModule<Value>(
  file: string,
  what: string,
  body: () => Promise<Value>,
): Promise<Value> {
  const index = indexOf(file, what);
  turn(index, index);
  try {
    return await body();
  } finally {
    turn(0, index);
  }
}

function indexOf(file: string, what: string): number {
  const key = `${what} ${file}`;
  const known = indices.get(key);
  if (known !== undefined) return known;
  const call = { file, what };
  const index = calls.push(call);
  indices.set(key, index);
  watch.onCall(call);
  return index;
}

/** From now on code of modules runs whenever a virtual CPU leaves its guest, in no call that can be seen. */
export function machineOfModule(): void {
  Atomics.add(watch.cells, Cell.MACHINES, 1);
}

/** The module that ran last; `undefined` when none has run. */
export function lastModule(): string | undefined {
  return calls[Atomics.load(watch.cells, Cell.LAST) - 1]?.file;
}

function turn(running: number, last: number): void {
  Atomics.store(watch.cells, Cell.RUNNING, running);
  Atomics.store(watch.cells, Cell.LAST, last);
  Atomics.add(watch.cells, Cell.TURNS, 1);
}
