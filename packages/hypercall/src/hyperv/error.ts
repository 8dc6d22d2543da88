/** Why bytes are not a message of an interface: what was read, where, and what is expected there. */
export interface HvWireFault {
  readonly field: string;
  readonly found: bigint;
  readonly expected: string;
}

/** A decoded message, or what is wrong with the bytes. */
export type HvDecoded<Message> =
  | { readonly ok: true; readonly message: Message }
  | { readonly ok: false; readonly fault: HvWireFault };

/** The view of `bytes`, or a fault when there are fewer than `size`. */
export function viewOf(bytes: Uint8Array, size: number): HvDecoded<DataView> {
  if (bytes.length < size) {
    return {
      ok: false,
      fault: { field: 'length', found: BigInt(bytes.length), expected: `${size} bytes at least` },
    };
  }
  return { ok: true, message: new DataView(bytes.buffer, bytes.byteOffset, bytes.length) };
}

export function fault(field: string, found: number | bigint, expected: string): HvDecoded<never> {
  return { ok: false, fault: { field, found: BigInt(found), expected } };
}
