import type { CurveName } from './certificates.ts';
import { DerError, DerReader, TAG } from './der.ts';

/** Bytes of a curve's order. */
const ORDER_BYTES: { readonly [curve in CurveName]: number } = { p256: 32, p384: 48, p521: 66 };
const SIGN = 0x80;

/**
 * The two numbers of an ECDSA signature (Ecdsa-Sig-Value, RFC 3279, 2.2.3) one behind the other, each as long as the curve's order. DER alone: it is read here
 * and not by what checks it, so that what one refuses for its form no other takes.
 *
 * @throws {DerError}
 */
export function ecdsaNumbers(signature: Uint8Array, curve: CurveName): Uint8Array {
  const size = ORDER_BYTES[curve];
  const outer = new DerReader(signature);
  const parts = outer.into(TAG.sequence);
  outer.end();
  const numbers = new Uint8Array(2 * size);
  for (const end of [size, 2 * size]) {
    const number = positive(parts.next(TAG.integer).content);
    if (number.length > size) throw new DerError(`a number of ${number.length} bytes: expected ${size}`);
    numbers.set(number, end - number.length);
  }
  parts.end();
  return numbers;
}

/** The bytes of an INTEGER that is not negative, in the only form it has (X.690, 8.3.2), without the zero before a high bit. */
function positive(content: Uint8Array): Uint8Array {
  const [first, second = 0] = content;
  if (first === undefined || first >= SIGN) throw new DerError('a number that is none, or is negative');
  if (first > 0 || content.length === 1) return content;
  if (second < SIGN) throw new DerError('a number with too many bytes');
  return content.subarray(1);
}
