import { parse, type ValueNode } from '@humanwhocodes/momoa';

/**
 * Gives the place of a value in the text of a JSON file as `:LINE:COLUMN`, both counted from 1: of the innermost value on its path that is
 * there. Empty for a text that is nested too deep to tell.
 */
export function positionsIn(text: string): (path: readonly PropertyKey[]) => string {
  let root: ValueNode | undefined;
  try {
    root = parse(text).body;
  } catch {
    return () => '';
  }
  return (path) => {
    let node = root;
    for (const key of path) {
      const next = childOf(node, key);
      if (next === undefined) break;
      node = next;
    }
    return node === undefined ? '' : `:${node.loc.start.line}:${node.loc.start.column}`;
  };
}

/** Where a text stops being JSON, as {@link positionsIn} writes it. */
export function syntaxErrorPosition(text: string): string {
  try {
    parse(text);
  } catch (error) {
    if (error instanceof Error && 'line' in error && 'column' in error)
      return `:${error.line}:${error.column}`;
  }
  return '';
}

function childOf(node: ValueNode | undefined, key: PropertyKey): ValueNode | undefined {
  if (node?.type === 'Array') return typeof key === 'number' ? node.elements[key]?.value : undefined;
  if (node?.type !== 'Object') return undefined;
  // Of equal names the last one counts, as in JSON.parse.
  return node.members.findLast(({ name }) => (name.type === 'String' ? name.value : name.name) === key)
    ?.value;
}
