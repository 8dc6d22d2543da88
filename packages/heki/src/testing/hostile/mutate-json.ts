import type { Random } from './random.ts';

const nested = (levels: number): unknown => {
  let value: unknown = 0;
  for (let level = 0; level < levels; level++) value = level % 2 === 0 ? [value] : { a: value };
  return value;
};

/** Values that stand where others are expected. */
const VALUES: readonly [() => unknown, ...(() => unknown)[]] = [
  () => null,
  () => true,
  () => -1,
  () => 0.5,
  () => 2 ** 53,
  () => 1e308,
  () => '',
  () => 'ffffffffff000',
  () => '0xffffffffffffffff',
  () => '\u001b[2J\u001b]0;taken\u0007',
  () => 'x'.repeat(100_000),
  () => [],
  () => ({}),
  () => nested(40),
  () => nested(400),
  () => Array.from({ length: 20_000 }, () => ({})),
  () => JSON.parse('{"__proto__": {"polluted": true}, "constructor": 1, "toString": null}'),
];

/** A copy of `value` in which something is replaced, left out, or there many times. */
export function mutateJson(value: unknown, random: Random): unknown {
  const copy: { root: unknown } = { root: structuredClone(value) };
  for (let left = 1 + random.nat(3); left > 0; left--) {
    let parent: object = copy;
    let key: string | number = 'root';
    for (;;) {
      const at: unknown = Reflect.get(parent, key);
      if (typeof at !== 'object' || at === null || random.nat(4) === 0) break;
      const keys: string[] = Object.keys(at);
      const next: string | undefined = keys[random.nat(keys.length)];
      if (next === undefined) break;
      parent = at;
      key = next;
    }
    const holder: object = parent;
    const name: string = key;
    random.of([
      () => Reflect.set(holder, name, random.of(VALUES)()),
      () => Reflect.set(holder, name, random.of(VALUES)()),
      () => Reflect.deleteProperty(holder, name),
      () => {
        const own: unknown = Reflect.get(holder, name);
        const times = (JSON.stringify(own) ?? '').length < 5000 ? 3000 : 2;
        Reflect.set(holder, name, new Array(times).fill(own));
      },
    ])();
  }
  return copy.root;
}
