import type { Step } from './schema.ts';

/** Where a reader is in a JSON text, which need not be complete. */
export interface Place {
  /** To the object whose property is named, or to the value. */
  readonly path: readonly Step[];
  readonly isName: boolean;
  /** What the object says already, where a property is named. */
  readonly beside: ReadonlyMap<string, unknown>;
  /** The word or string that what is chosen replaces. */
  readonly from: number;
  readonly to: number;
}

/** An object or an array that is not closed yet. */
interface Frame {
  readonly around: Frame | undefined;
  /** The property of the object around it that it is the value of. */
  readonly name: string | undefined;
  readonly isObject: boolean;
  /** What it says, by name: strings, numbers and booleans, anything else as `undefined`. */
  readonly says: Map<string, unknown>;
  expects: 'name' | 'value' | 'nothing';
  /** Whose value is expected. */
  property: string | undefined;
}

const TOKEN = /"(?:[^"\\\n]|\\.)*"?|[{}[\],:]|[^\s{}[\],:"]+/g;

/** The place at `pos`; `undefined` where nothing can stand. What is behind it counts as well: a step's kind may come last. */
export function placeAt(text: string, pos: number): Place | undefined {
  let top: Frame | undefined;
  let found: (() => Place) | undefined;
  let isPassed = false;
  const meet = (from: number, to: number): void => {
    isPassed = true;
    const frame = top;
    if (frame === undefined || frame.expects === 'nothing') return;
    const { expects, property, isObject } = frame;
    found = () => ({
      ...{ from, to, isName: expects === 'name', beside: frame.says },
      path: [
        ...pathTo(frame),
        ...(expects === 'name' ? [] : [{ name: isObject ? property : undefined, beside: frame.says }]),
      ],
    });
  };
  for (const { 0: token, index } of text.matchAll(TOKEN)) {
    const end = index + token.length;
    const isMark = /^[{}[\],:]$/.test(token);
    const isHere: boolean = !isPassed && (isMark ? pos <= index : pos <= end);
    if (isHere) meet(isMark || pos <= index ? pos : index, isMark || pos <= index ? pos : end);
    const isIn = isHere && !isMark && pos > index;
    if (token === '{' || token === '[') {
      note(top, undefined);
      top = {
        around: top,
        name: top?.isObject === true ? top.property : undefined,
        isObject: token === '{',
        says: new Map(),
        expects: token === '{' ? 'name' : 'value',
        property: undefined,
      };
    } else if (token === '}' || token === ']') top = top?.around;
    else if (top === undefined) continue;
    else if (token === ',') top.expects = top.isObject ? 'name' : 'value';
    else if (token === ':') top.expects = 'value';
    else if (top.expects === 'name') {
      // What is just written does not count as said.
      top.property = parsed(isIn ? undefined : token)?.toString();
      top.expects = 'nothing';
    } else note(top, isIn ? undefined : parsed(token));
  }
  if (!isPassed) meet(pos, pos);
  return found?.();
}

/** The value of a property is there. */
function note(frame: Frame | undefined, value: unknown): void {
  if (frame === undefined) return;
  if (frame.isObject && frame.expects === 'value' && frame.property !== undefined)
    frame.says.set(frame.property, value);
  frame.expects = 'nothing';
}

function pathTo({ around, name }: Frame): Step[] {
  return around === undefined ? [] : [...pathTo(around), { name, beside: around.says }];
}

function parsed(json: string | undefined): string | number | boolean | undefined {
  try {
    return json === undefined ? undefined : JSON.parse(json);
  } catch {
    return undefined;
  }
}
