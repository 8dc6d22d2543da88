import { bitNames, type WordMasks, wordMasks } from '../bit-table.ts';

/** The error code that #PF pushes. */
export const PAGE_FAULT_BITS = {
  P: {
    bit: 0,
    meaning: 'the translation exists: a right is missing, or a reserved bit is set',
    source: 'SDM 3A 4.7',
  },
  W: { bit: 1, meaning: 'write', source: 'SDM 3A 4.7' },
  U: { bit: 2, meaning: 'user-mode access', source: 'SDM 3A 4.7' },
  RSVD: { bit: 3, meaning: 'a reserved bit is set in an entry', source: 'SDM 3A 4.7' },
  ID: { bit: 4, meaning: 'instruction fetch (only with SMEP or NXE)', source: 'SDM 3A 4.7' },
  PK: { bit: 5, meaning: 'a protection key forbids it', source: 'SDM 3A 4.7' },
  SS: { bit: 6, meaning: 'shadow-stack access', source: 'SDM 3A 4.7' },
  HLAT: { bit: 7, meaning: 'no translation through the HLAT root', source: 'SDM 3A 4.7' },
  SGX: { bit: 15, meaning: 'violation of SGX access control', source: 'SDM 3A 4.7' },
} as const;

/** Masks of the #PF error code: `PageFaultCode.W`. */
export const PageFaultCode: WordMasks<typeof PAGE_FAULT_BITS> = wordMasks(PAGE_FAULT_BITS);

/** An error code as people read it: `0x3 (P W)`. */
export function describePageFaultCode(errorCode: number): string {
  const names = bitNames(PAGE_FAULT_BITS, errorCode);
  return `0x${errorCode.toString(16)}${names.length > 0 ? ` (${names.join(' ')})` : ''}`;
}
