/** Why a request was refused. */
export type Refusal =
  /** The kernel's code is sealed already, or not yet. */
  | 'wrong-time'
  /** The file has no signature that counts. */
  | 'not-signed'
  /** The image, or the request, makes no sense or is larger than its bound. */
  | 'malformed'
  /** A frame is not memory, named twice, or holds something. */
  | 'not-free'
  /** It refers to what no image exports, or what is out of reach. */
  | 'unresolved'
  /** What the guest names of its boot may not be. */
  | 'unsafe-boot'
  /** What stands in memory is not what must stand there. */
  | 'mismatch'
  /** A compiled program holds what no JIT emits, or constants that are not blinded. */
  | 'not-in-grammar'
  /** There is no such image; or its number was another's. */
  | 'no-such-image'
  | 'no-such-site'
  | 'no-such-state'
  /** The file does not say that this may change. */
  | 'frozen'
  /** Something leads into it. */
  | 'in-use';

/** What the guest is told. */
export type Answer<Value = undefined> =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly why: Refusal; readonly text: string };

export function granted(): Answer;
export function granted<Value>(value: Value): Answer<Value>;
export function granted<Value>(value?: Value): Answer<Value | undefined> {
  return { ok: true, value };
}

export function refused(
  why: Refusal,
  text: string,
): { readonly ok: false; readonly why: Refusal; readonly text: string } {
  return { ok: false, why, text };
}

/**
 * A request under way. It stops at every point where another processor, or a device, can come between: after it has read what the guest owns,
 * and after it has changed rights that are not in force yet.
 */
export type Request<Value = undefined> = Generator<string, Answer<Value>, void>;

/** Carries a request through without anything between. */
export function complete<Value>(request: Request<Value>): Answer<Value> {
  for (;;) {
    const { done, value } = request.next();
    if (done === true) return value;
  }
}
