import { HypervisorError } from '../../error.ts';
import type { ProtectionState } from '../../state.ts';
import type { VirtualMachine } from '../../virtual-machine.ts';
import { require } from '../setup.ts';
import { textOf } from '../text-of.ts';

/** What a file can hold where something else is expected. */
const JUNK: readonly unknown[] = [
  undefined,
  null,
  true,
  -1,
  0,
  1.5,
  Number.NaN,
  2 ** 53,
  -1n,
  5n,
  2n ** 90n,
  '',
  'all',
  {},
  [],
  [null],
  [7],
  new Set(['x']),
];

/** One member of an object or a list somewhere in a state. */
interface Member {
  readonly holder: { [key: string]: unknown } | unknown[];
  readonly key: string;
  readonly path: string;
}

/** A copy of plain data. */
function copyOf<Value>(value: Value): Value {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value;
  if (value instanceof Set) return new Set(value) as Value;
  if (Array.isArray(value)) return value.map(copyOf) as Value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, copyOf(part)])) as Value;
}

function* membersOf(value: unknown, path = 'state'): Generator<Member> {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value) || value instanceof Set)
    return;
  const holder = value as { [key: string]: unknown };
  for (const key of Object.keys(holder)) {
    yield { holder, key, path: `${path}.${key}` };
    yield* membersOf(holder[key], `${path}.${key}`);
  }
}

/**
 * States that were cut or edited: each is taken as a state of the machine's own, which can be saved and restored again, or refused by
 * a `HypervisorError`; then nothing has changed. The machine ends as it was.
 *
 * @param below draws an integer from 0 to n - 1
 */
export function standsDamage(vm: VirtualMachine, below: (count: number) => number, states: number): void {
  const state = vm.save();
  if (state === undefined) return;
  for (let i = 0; i < states; i++) {
    const damaged = copyOf(state);
    const what = damage(damaged, below);
    if (isTaken(vm, damaged, what, textOf(state))) {
      const own = vm.save();
      require(own !== undefined, `${what}: it was taken, and nothing can be saved`);
      require(vm.restore(own) &&
        textOf(vm.save()) === textOf(own), `${what}: it was taken, and what is saved then is not`);
    }
    require(vm.restore(state), `${what}: the state before it is not taken any more`);
  }
}

function isTaken(vm: VirtualMachine, damaged: ProtectionState, what: string, before: string): boolean {
  try {
    return vm.restore(damaged);
  } catch (error) {
    require(error instanceof HypervisorError, `${what}: expected a HypervisorError, not ${error}`);
    const after = textOf(vm.save());
    require(after ===
      before, `${what}: refused (${error.message}), and the state is ${after}, expected ${before}`);
    return false;
  }
}

/** Changes one thing in a state, and tells what. */
function damage(state: ProtectionState, below: (count: number) => number): string {
  const members = [...membersOf(state)];
  const member = members[below(members.length)];
  require(member !== undefined, 'a state has members');
  const { holder, key, path } = member;
  const value = (holder as { [key: string]: unknown })[key];
  switch (below(6)) {
    case 0:
      if (Array.isArray(holder)) holder.splice(Number(key), 1);
      else delete holder[key];
      return `${path} left out`;
    case 1:
      if (!Array.isArray(value)) break;
      value.push(value[0]);
      return `the first of ${path} twice`;
    case 2:
      if (!Array.isArray(value)) break;
      value.reverse();
      return `${path} the other way round`;
    case 3:
      if (!(value instanceof Set)) break;
      value.add('x');
      return `a word in ${path}`;
  }
  const junk = JUNK[below(JUNK.length)];
  Object.assign(holder, { [key]: copyOf(junk) });
  return `${path} = ${typeof junk} ${textOf(junk)}`;
}
