import { JUMP_LENGTH, LSM_KEY, type SignedSite } from '@heki/linux';
import { EPERM, KERNEL_FUNCTIONS, KEY_SITE, NOP5, returning, TRACED_SITE } from './functions.ts';

/** What of the attacked kernel's text its signed file lets change: a function can be traced; the key of a security check stays as it is. */
export const SIGNED_SITES: readonly SignedSite[] = [
  { kind: 'jump-label', offset: KEY_SITE, length: JUMP_LENGTH, key: LSM_KEY },
  { kind: 'fentry', offset: TRACED_SITE, length: JUMP_LENGTH, key: 'ftrace' },
];
/** The number of the key's site among them. */
export const KEY_SITE_NUMBER = 0;

/** Code in the image's text, by offsets from `_text`. */
export const KERNEL_TEXT: readonly { readonly offset: number; readonly bytes: Uint8Array }[] = [
  ...Object.values(KERNEL_FUNCTIONS).map(({ offset, returns }) => ({ offset, bytes: returning(returns) })),
  ...[KEY_SITE, TRACED_SITE].map((offset) => ({
    offset,
    bytes: Uint8Array.of(...NOP5, ...returning(EPERM)),
  })),
];
