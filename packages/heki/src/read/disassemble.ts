import type { VirtualAddress } from '@heki/physical-memory';
import { virtualAddress } from '@heki/physical-memory';

/** An instruction, or bytes that are not one. */
export interface DecodedInstruction {
  readonly address: VirtualAddress;
  readonly bytes: Uint8Array;
  /** Intel's syntax; `(bad)` for bytes that are not one, `(cut short)` for the last where it goes on behind them. */
  readonly text: string;
  /** Where a near call or jump leads. */
  readonly target: VirtualAddress | undefined;
}

/**
 * The instructions of 64-bit mode in `bytes`, which lie at `address`, one after the other from the first byte on. The decoder is loaded
 * when it is asked for: it takes longer than most commands.
 */
export async function disassemble(bytes: Uint8Array, address: VirtualAddress): Promise<DecodedInstruction[]> {
  const { Decoder, DecoderError, DecoderOptions, Formatter, FormatterSyntax } = await import('iced-x86');
  const decoder = new Decoder(64, bytes, DecoderOptions.None);
  const formatter = new Formatter(FormatterSyntax.Intel);
  formatter.smallHexNumbersInDecimal = false;
  formatter.hexPrefix = '0x';
  formatter.hexSuffix = '';
  formatter.uppercaseHex = false;
  formatter.spaceAfterOperandSeparator = true;
  decoder.ip = address;
  try {
    const decoded: DecodedInstruction[] = [];
    while (decoder.canDecode) {
      const start = decoder.position;
      const instruction = decoder.decode();
      try {
        const isCutShort = instruction.isInvalid && decoder.lastError === DecoderError.NoMoreBytes;
        // What is not an instruction may be the end of one that began before: the next may begin with the next byte.
        if (instruction.isInvalid && !isCutShort) {
          decoder.position = start + 1;
          decoder.ip = address + BigInt(start + 1);
        }
        const target = instruction.isInvalid ? 0n : instruction.nearBranchTarget;
        decoded.push({
          address: virtualAddress(BigInt.asUintN(64, address + BigInt(start))),
          bytes: bytes.subarray(start, isCutShort ? bytes.length : decoder.position),
          text: isCutShort ? '(cut short)' : instruction.isInvalid ? '(bad)' : formatter.format(instruction),
          target: target === 0n ? undefined : virtualAddress(target),
        });
        if (isCutShort) break;
      } finally {
        instruction.free();
      }
    }
    return decoded;
  } finally {
    formatter.free();
    decoder.free();
  }
}
