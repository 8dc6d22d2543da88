/** Tags of the elements that messages and certificates are made of (X.690, 8.1.2); all of one byte. */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectId: 0x06,
  bmpString: 0x1e,
  sequence: 0x30,
  set: 0x31,
} as const;

const SHORT_TAG = 0x1f;
const LONG_FORM = 0x80;
/** More bytes than any length here needs. */
const MOST_LENGTH_BYTES = 3;

/** Tag of the part `[number]` of a SEQUENCE, made of elements of its own or, by `primitive`, of bytes. */
export function context(number: number, form: 'constructed' | 'primitive' = 'constructed'): number {
  return (form === 'constructed' ? 0xa0 : 0x80) + number;
}

/** An element: views of the bytes that were read. */
export interface DerElement {
  readonly tag: number;
  readonly content: Uint8Array;
  /** With tag and length. */
  readonly whole: Uint8Array;
}

/** Bytes that are not DER, or not of the shape that was expected. */
export class DerError extends Error {
  override readonly name = 'DerError';
}

/**
 * Reads elements in order. DER alone: each length in its only form, never an indefinite one (X.690, 10.1). Looks into no element by itself, so that depth
 * costs nothing.
 */
export class DerReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  /** @throws {DerError} when there is none, or not with this tag */
  next(tag?: number): DerElement {
    const start = this.#at;
    const found = this.#byte();
    if ((found & SHORT_TAG) === SHORT_TAG) throw new DerError('a tag of more than one byte');
    if (tag !== undefined && found !== tag) throw new DerError(`the tag ${found}: expected ${tag}`);
    const length = this.#length();
    const from = this.#at;
    if (length > this.#bytes.length - from) throw new DerError('an element that does not end');
    this.#at += length;
    return {
      tag: found,
      content: this.#bytes.subarray(from, this.#at),
      whole: this.#bytes.subarray(start, this.#at),
    };
  }

  /** The next element if it has this tag. */
  optional(tag: number): DerElement | undefined {
    return this.#bytes[this.#at] === tag ? this.next(tag) : undefined;
  }

  /** A reader of what the next element, of this tag, is made of. */
  into(tag: number): DerReader {
    return new DerReader(this.next(tag).content);
  }

  /** @throws {DerError} when something is left */
  end(): void {
    if (!this.isAtEnd) throw new DerError('more elements than expected');
  }

  #byte(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) throw new DerError('no element');
    this.#at++;
    return byte;
  }

  #length(): number {
    const first = this.#byte();
    if (first < LONG_FORM) return first;
    const count = first - LONG_FORM;
    if (count === 0 || count > MOST_LENGTH_BYTES) throw new DerError('a length of no definite form');
    let length = 0;
    for (let index = 0; index < count; index++) length = length * 256 + this.#byte();
    if (length < LONG_FORM || length < 256 ** (count - 1)) throw new DerError('a length with too many bytes');
    return length;
  }
}

/** An object identifier with dots. */
export function objectId(content: Uint8Array): string {
  const numbers: number[] = [];
  let number = 0;
  for (const byte of content) {
    number = number * 128 + (byte % 128);
    if (number > Number.MAX_SAFE_INTEGER / 128)
      throw new DerError('a number too large in an object identifier');
    if (byte >= 128) continue;
    numbers.push(number);
    number = 0;
  }
  const [first, ...others] = numbers;
  if (first === undefined || (content.at(-1) ?? 0) >= 128)
    throw new DerError('an object identifier that does not end');
  const root = Math.min(Math.floor(first / 40), 2);
  return [root, first - root * 40, ...others].join('.');
}

/** An element around contents, one behind the other. */
export function der(tag: number, ...contents: Uint8Array[]): Uint8Array {
  const length = contents.reduce((sum, content) => sum + content.length, 0);
  const size: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) size.unshift(rest % 256);
  const header = length < LONG_FORM ? [tag, length] : [tag, LONG_FORM + size.length, ...size];
  const element = new Uint8Array(header.length + length);
  element.set(header);
  let at = header.length;
  for (const content of contents) {
    element.set(content, at);
    at += content.length;
  }
  return element;
}
