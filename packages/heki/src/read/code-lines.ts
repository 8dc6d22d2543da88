import type { KernelNames } from '@heki/symbols';
import { hex16 } from '../hex.ts';
import { symbolText } from '../names/place-text.ts';
import type { DecodedInstruction } from './disassemble.ts';
import { bytesInHex } from './hex-dump.ts';

/** Columns of the bytes of an instruction, which are 15 at most. */
const CODE_BYTES = 32;

/** Instructions, a line each, with the names of where they are and where they lead. */
export function* codeLines(
  code: readonly DecodedInstruction[],
  names: KernelNames | undefined,
): Generator<string> {
  for (const { address, bytes, text, target } of code) {
    const place = names?.at(address);
    // A function begins.
    if (place?.symbol?.offset === 0) yield `${symbolText(place)}:`;
    const leads = target === undefined ? undefined : names?.at(target);
    const to = leads === undefined ? undefined : symbolText(leads);
    yield `${hex16(address)}  ${bytesInHex(bytes).padEnd(CODE_BYTES)}  ${text}${to === undefined ? '' : `  ; ${to}`}`;
  }
}
