import { type BitMasks, bitMasks, bitNames } from '@heki/x86';

/** EXITINFO1 of a nested page fault, SVM_EXIT_NPF 0x400 (APM 2 15.25.6). */
export const NPF_INFO1_BITS = {
  P: { bit: 0, meaning: 'the nested entry was present', source: 'APM 2 15.25.6' },
  W: { bit: 1, meaning: 'the access was a write', source: 'APM 2 15.25.6' },
  U: {
    bit: 2,
    meaning: 'a user access, which every nested access is; with GMET not to be relied on (erratum 1218)',
    source: 'APM 2 15.25.5, 15.25.6',
  },
  RSVD: { bit: 3, meaning: 'a reserved bit was set in a nested entry', source: 'APM 2 15.25.6' },
  ID: { bit: 4, meaning: 'the access was an instruction fetch', source: 'APM 2 15.25.6' },
  FINAL_ADDRESS: {
    bit: 32,
    meaning: 'the address is the translation of the linear address',
    source: 'APM 2 15.25.6',
  },
  PAGE_TABLE: {
    bit: 33,
    meaning: 'the address is that of a guest page-table entry',
    source: 'APM 2 15.25.6',
  },
} as const;

/** Masks of {@link NPF_INFO1_BITS}. */
export const NpfInfo1: BitMasks<typeof NPF_INFO1_BITS> = bitMasks(NPF_INFO1_BITS);

/** An EXITINFO1 as people read it: `0x100000007: P W U FINAL_ADDRESS`. */
export function describeNpfInfo1(info1: bigint): string {
  return `0x${info1.toString(16)}: ${bitNames(NPF_INFO1_BITS, info1).join(' ')}`;
}
