import type { Attack, AttackResult } from '@heki/machine';
import { hex, type VirtualAddress, virtualFrameOf } from '@heki/physical-memory';
import type { Names } from '../names/names.ts';
import { disassemble } from '../read/disassemble.ts';
import { bytesInHex } from '../read/hex-dump.ts';

/** Bytes that an attack is about, and what they are as code. */
interface Bytes {
  readonly bytes: Uint8Array;
  /** The instructions that they are, in Intel's syntax; `undefined` for data. */
  readonly code: string | undefined;
}

/** What an attack found at its target, and what was there when it was decided. */
export interface AttackedBytes {
  readonly address: VirtualAddress;
  /** Whose the bytes before are: what a kernel patched in its text is not in its image. */
  readonly from: 'guest' | 'image';
  readonly before: Bytes;
  readonly after: Bytes;
}

/** Of data that is not run so many bytes are told: what a processor stores at once. */
const DATA_BYTES = 8;

/** The bytes before and after `result`, of code the instructions that the change is about; `undefined` where there are no contents. */
async function attackedBytes(
  { part }: Pick<Attack, 'part'>,
  { bytes: accessed }: Pick<AttackResult, 'bytes'>,
  { image, kernel }: Pick<Names, 'image' | 'kernel'>,
): Promise<AttackedBytes | undefined> {
  if (accessed === undefined) return undefined;
  const { address, access, before, after } = accessed;
  const from = image?.isFromImage(virtualFrameOf(address)) === true ? 'image' : 'guest';
  const isRun = access === 'fetch';
  if (part !== 'text' && !isRun) {
    const data = (bytes: Uint8Array): Bytes => ({ bytes: bytes.subarray(0, DATA_BYTES), code: undefined });
    return { address, from, before: data(before), after: data(after) };
  }
  // What is written through the direct map runs where the image has it.
  const runsAt = kernel.at(address).alias?.address ?? address;
  const [first] = await disassemble(part === 'text' ? before : after, runsAt);
  // All that a store reaches into; where the page is another, all that follows differs as well.
  const stored = isRun ? 0 : lastDifference(before, after) + 1;
  const length = Math.max(first?.bytes.length ?? 0, stored);
  const was = part === 'text' ? await codeOf(before, runsAt, length) : undefined;
  return {
    address,
    from,
    before: was ?? { bytes: before.subarray(0, DATA_BYTES), code: undefined },
    after: await codeOf(after, runsAt, length),
  };
}

/** The same of every result, with Heki and without. */
export async function attackedBytesOfAll(
  attacks: readonly {
    readonly attack: Attack;
    readonly without: AttackResult;
    readonly with: AttackResult;
  }[],
  names: Pick<Names, 'image' | 'kernel'>,
): Promise<Map<AttackResult, AttackedBytes>> {
  const all = new Map<AttackResult, AttackedBytes>();
  for (const { attack, ...results } of attacks) {
    for (const result of [results.without, results.with]) {
      const bytes = await attackedBytes(attack, result, names);
      if (bytes !== undefined) all.set(result, bytes);
    }
  }
  return all;
}

/** The instructions that begin in the first `length` bytes. */
async function codeOf(bytes: Uint8Array, address: VirtualAddress, length: number): Promise<Bytes> {
  const end = address + BigInt(length);
  const code = (await disassemble(bytes, address)).filter((one) => one.address < end);
  const covered = code.reduce((sum, one) => sum + one.bytes.length, 0);
  return { bytes: bytes.subarray(0, covered), code: code.map(({ text }) => text).join('; ') };
}

function lastDifference(before: Uint8Array, after: Uint8Array): number {
  return before.findLastIndex((byte, index) => byte !== after[index]);
}

/** In words: what it was, and what became of it. */
export function attackedBytesLines({ before, after, from }: AttackedBytes): string[] {
  const text = ({ bytes, code }: Bytes): string => code ?? bytesInHex(bytes);
  const found = `${text(before)}${from === 'image' ? ' (image)' : ''}`;
  const isSame = after.bytes.every((byte, index) => byte === before.bytes[index]);
  if (!isSame) return [`was ${found}`, `now ${text(after)}`];
  return text(before) === text(after) ? [`stays ${found}`] : [`is ${found}`, `as code ${text(after)}`];
}

/** The same as programs read it. */
export function attackedBytesJson({ address, from, before, after }: AttackedBytes): object {
  const json = ({ bytes, code }: Bytes) => ({
    bytes: bytesInHex(bytes).replaceAll(' ', ''),
    code: code ?? null,
  });
  return { va: hex(address), from, before: json(before), after: json(after) };
}
