import { parse, type ValueNode } from '@humanwhocodes/momoa';

/** A place in a text, both counted from 1. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/**
 * Gives the place of a value in the text of a JSON file: of the innermost value on its path that is there. `undefined` for a text that is
 * nested too deep to tell.
 */
export function positionsIn(text: string): (path: readonly PropertyKey[]) => Position | undefined {
  let root: ValueNode | undefined;
  try {
    root = parse(text).body;
  } catch {
    return () => undefined;
  }
  return (path) => {
    let node = root;
    for (const key of path) {
      const next = childOf(node, key);
      if (next === undefined) break;
      node = next;
    }
    if (node === undefined) return undefined;
    const { line, column } = node.loc.start;
    return { line, column };
  };
}

/** Where a text stops being JSON. */
export function syntaxErrorPosition(text: string): Position | undefined {
  try {
    parse(text);
  } catch (error) {
    if (error instanceof Error && 'line' in error && 'column' in error) {
      const { line, column } = error;
      if (typeof line === 'number' && typeof column === 'number') return { line, column };
    }
  }
  return undefined;
}

function childOf(node: ValueNode | undefined, key: PropertyKey): ValueNode | undefined {
  if (node?.type === 'Array') return typeof key === 'number' ? node.elements[key]?.value : undefined;
  if (node?.type !== 'Object') return undefined;
  // Of equal names the last one counts, as in JSON.parse.
  return node.members.findLast(({ name }) => (name.type === 'String' ? name.value : name.name) === key)
    ?.value;
}
