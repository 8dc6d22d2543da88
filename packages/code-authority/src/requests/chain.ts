import { sha256 } from '@noble/hashes/sha2.js';
import { utf8ToBytes } from '@noble/hashes/utils.js';

/** What was ever done to code, as a chain of digests: who has the last one can prove what came before it. */
export interface PokeChain {
  /** SHA-256 of the one before and of what was done. 32 bytes; zeroes before anything was. */
  readonly head: Uint8Array;
  readonly length: number;
  append(text: string): void;
  /** Goes on from there. */
  replace(head: Uint8Array, length: number): void;
  checkpoint(): () => void;
}

export function createChain(): PokeChain {
  let head = new Uint8Array(32);
  let length = 0;
  return {
    get head() {
      return head.slice();
    },
    get length() {
      return length;
    },
    append(text) {
      const entry = utf8ToBytes(text);
      const joined = new Uint8Array(head.length + entry.length);
      joined.set(head);
      joined.set(entry, head.length);
      head = new Uint8Array(sha256(joined));
      length++;
    },
    replace(to, steps) {
      head = new Uint8Array(to);
      length = steps;
    },
    checkpoint() {
      const [keptHead, keptLength] = [head, length];
      return () => {
        head = keptHead;
        length = keptLength;
      };
    },
  };
}
