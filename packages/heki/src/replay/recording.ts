import { type AttributeChange, HekiCommand, type NamedLeaf } from '@heki/guest';
import { type Gfn, PAGE_SIZE, PHYSICAL_ADDRESS_END } from '@heki/physical-memory';
import { InputError } from '../failure.ts';
import { jsonPosition } from '../input/parse-json.ts';

/** One call that a kernel made of Heki's hooks. */
export interface RecordedCall {
  readonly command: HekiCommand;
  readonly change: AttributeChange;
  /** The mappings that the hook's walk met, in its order. */
  readonly leaves: readonly NamedLeaf[];
}

const COMMANDS: ReadonlyMap<unknown, HekiCommand> = new Map([
  ['map', HekiCommand.MAP],
  ['update', HekiCommand.UPDATE],
  ['unmap', HekiCommand.UNMAP],
  ['protect', HekiCommand.PROTECT_MEMORY],
]);

/**
 * The life of a kernel: the first sequence of calls in the JSON of a recording.
 *
 * @throws {InputError} when `text` is not a recording; the message names the place
 */
export function readRecording(text: string): RecordedCall[] {
  const sequences = parseJson(text);
  if (!Array.isArray(sequences) || !Array.isArray(sequences[0]) || sequences[0].length === 0) {
    throw new InputError('no recording: expected a JSON array of sequences, the first an array of calls');
  }
  return sequences[0].map((call: unknown, index) => readCall(call, `call ${index}`));
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new InputError(`no recording: ${why}`, jsonPosition(text));
  }
}

function readCall(call: unknown, place: string): RecordedCall {
  if (!isObject(call)) throw new InputError(`${place} is ${show(call)}: expected an object`);
  const command = COMMANDS.get(call.cmd);
  if (command === undefined) {
    throw new InputError(`${place}: cmd is ${show(call.cmd)}: expected map, update, unmap or protect`);
  }
  const { leaves } = call;
  if (!Array.isArray(leaves)) throw new InputError(`${place}: leaves is ${show(leaves)}: expected an array`);
  return {
    command,
    change: {
      set: readAttributes(call.set, `${place}: set`),
      clear: readAttributes(call.clear, `${place}: clear`),
      setGlobal: readAttributes(call.setGlobal, `${place}: setGlobal`),
    },
    leaves: leaves.map((leaf: unknown, index) => readLeaf(leaf, `${place}: leaf ${index}`)),
  };
}

function readAttributes(value: unknown, place: string): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 15) return value;
  throw new InputError(`${place} is ${show(value)}: expected MEM_ATTR bits, 0 to 15`);
}

/** A leaf `[pa, size, flags]`, all hexadecimal text: address and size in whole pages, and the entry's flag bits. */
function readLeaf(leaf: unknown, place: string): NamedLeaf {
  const [pa, size, flags] = Array.isArray(leaf) ? leaf : [];
  const address = readHex(pa, 13);
  const bytes = readHex(size, 13);
  const isRange =
    address % PAGE_SIZE === 0 &&
    bytes % PAGE_SIZE === 0 &&
    bytes > 0 &&
    address + bytes <= PHYSICAL_ADDRESS_END;
  if (!isRange || typeof flags !== 'string' || !/^[0-9a-f]{1,16}$/i.test(flags)) {
    throw new InputError(
      `${place} is ${show(leaf)}: expected [address, size, flags], hexadecimal, in whole pages below 2^52`,
    );
  }
  return {
    guestFrame: (address / PAGE_SIZE) as Gfn,
    frames: bytes / PAGE_SIZE,
    low: Number.parseInt(flags.slice(-8), 16),
    high: flags.length > 8 ? Number.parseInt(flags.slice(0, -8), 16) : 0,
  };
}

function readHex(value: unknown, digits: number): number {
  return typeof value === 'string' && value.length <= digits && /^[0-9a-f]+$/i.test(value)
    ? Number.parseInt(value, 16)
    : Number.NaN;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? 'missing';
  return text.length > 80 ? `${text.slice(0, 80)}...` : text;
}
