import { type DerReader, objectId, TAG } from './der.ts';

/** AlgorithmIdentifier (RFC 5280, 4.1.1.2): which one, and its parameter as bytes. */
export interface Algorithm {
  readonly id: string;
  readonly parameter: Uint8Array | undefined;
}

/** @throws {DerError} */
export function readAlgorithm(from: DerReader): Algorithm {
  const parts = from.into(TAG.sequence);
  const id = objectId(parts.next(TAG.objectId).content);
  const parameter = parts.isAtEnd ? undefined : parts.next().whole;
  parts.end();
  return { id, parameter };
}
