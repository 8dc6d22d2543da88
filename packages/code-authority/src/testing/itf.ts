/**
 * A value of a trace in the Informal Trace Format, as plain data: integers are numbers; sets, lists and tuples are arrays; a map is a `Map`.
 *
 * @see {@link https://apalache-mc.org/docs/adr/015adr-trace.html}
 */
export function plainValue(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plainValue);
  if (typeof value !== 'object' || value === null) return value;
  const [[key, inside] = ['', undefined], ...more] = Object.entries(value);
  if (more.length === 0 && key === '#bigint') return Number(inside);
  if (more.length === 0 && (key === '#set' || key === '#tup')) return plainValue(inside);
  if (more.length === 0 && key === '#map') return new Map(plainValue(inside) as [unknown, unknown][]);
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, plainValue(each)]));
}
