import { type MemberNode, type Node, type ObjectNode, parse, type ValueNode } from '@humanwhocodes/momoa';

/** A place in a text, both counted from 1. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** The text of a JSON file, for messages about it. Nothing has a place in a text that is nested too deep to tell. */
export interface JsonText {
  /** The place of a value: of the innermost one on its path that is there. */
  positionOf(path: readonly PropertyKey[]): Position | undefined;
  /** The place of a name in the object at `path`: of its last one, which counts, as in JSON.parse. */
  positionOfKey(path: readonly PropertyKey[], key: string): Position | undefined;
  /** Names that an object has more than once, or that a JavaScript object cannot have: what stands there would be lost. */
  readonly lostKeys: readonly LostKey[];
}

/** A name in the object at `path`. */
export interface LostKey {
  readonly path: readonly PropertyKey[];
  readonly key: string;
  readonly position: Position;
}

/** Parses `text`, which is JSON. */
export function parsePositions(text: string): JsonText {
  const root = parsed(text);
  return {
    positionOf: (path) => root && placeOf(innermost(root, path)),
    positionOfKey(path, key) {
      const node = root && innermost(root, path);
      const member = node?.type === 'Object' ? memberOf(node, key) : undefined;
      return member && placeOf(member);
    },
    lostKeys: root === undefined ? [] : lostKeysIn(root),
  };
}

/** Where a text stops being JSON, for which the engine gives `reason`. */
export function syntaxErrorPosition(text: string, reason: string): Position | undefined {
  if (/unexpected end/i.test(reason)) return positionAt(text, text.length);
  try {
    parse(text);
  } catch (error) {
    if (error instanceof Error && 'line' in error && 'column' in error) {
      const { line, column } = error;
      if (typeof line === 'number' && typeof column === 'number') return { line, column };
    }
  }
  const offset = /at position (\d+)/.exec(reason)?.[1];
  return offset === undefined ? undefined : positionAt(text, Number(offset));
}

function positionAt(text: string, offset: number): Position {
  const before = text.slice(0, offset).split(/\r\n|[\n\r]/);
  return { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 };
}

function parsed(text: string): ValueNode | undefined {
  try {
    return parse(text).body;
  } catch {
    return undefined;
  }
}

function placeOf({ loc }: Node): Position {
  const { line, column } = loc.start;
  return { line, column };
}

function innermost(root: ValueNode, path: readonly PropertyKey[]): ValueNode {
  let node = root;
  for (const key of path) {
    const next = childOf(node, key);
    if (next === undefined) break;
    node = next;
  }
  return node;
}

function childOf(node: ValueNode, key: PropertyKey): ValueNode | undefined {
  if (node.type === 'Array') return typeof key === 'number' ? node.elements[key]?.value : undefined;
  return node.type === 'Object' ? memberOf(node, key)?.value : undefined;
}

function memberOf({ members }: ObjectNode, key: PropertyKey): MemberNode | undefined {
  return members.findLast((member) => nameOf(member) === key);
}

function nameOf({ name }: MemberNode): string {
  return name.type === 'String' ? name.value : name.name;
}

function lostKeysIn(root: ValueNode): LostKey[] {
  const lost: LostKey[] = [];
  const visit = (node: ValueNode, path: readonly PropertyKey[]): void => {
    if (node.type === 'Array') {
      for (const [index, { value }] of node.elements.entries()) visit(value, [...path, index]);
    }
    if (node.type !== 'Object') return;
    const seen = new Set(['__proto__']);
    for (const member of node.members) {
      const key = nameOf(member);
      if (seen.has(key)) lost.push({ path, key, position: placeOf(member) });
      seen.add(key);
      visit(member.value, [...path, key]);
    }
  };
  visit(root, []);
  return lost;
}
