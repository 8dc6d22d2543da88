import {
  MEM_ATTR_EXEC as EXEC,
  type ProtectedRange,
  MEM_ATTR_READ as READ,
  MEM_ATTR_WRITE as WRITE,
} from '@heki/hypercall/kvm';
import type { Gfn } from '@heki/physical-memory';
import type { Vcpu } from '@heki/vcpu';
import { ALIAS, DATA, REGION, TEXT } from '../backend/frames.ts';
import { directAddress, EVIL_WORD } from '../backend/tiny-guest.ts';

/** The guest frames that a search is about, and how they are told. The first and the last are one host frame, by two slots. */
export const FRAMES: readonly (readonly [gfn: number, name: string])[] = [
  [TEXT, 'the text'],
  [DATA, 'the data'],
  [ALIAS, 'the second name of the text'],
];

/** What a request asks for. */
export interface InterleavedRequest {
  readonly name: string;
  readonly ranges: readonly ProtectedRange[];
}

function range(start: number, end: number, permissions: number): ProtectedRange {
  return { start: start as Gfn, end: end as Gfn, permissions };
}

const LETTERS: readonly (readonly [permissions: number, letters: string])[] = [
  [READ, 'r--'],
  [READ | EXEC, 'r-x'],
  [READ | WRITE, 'rw-'],
];

export const REQUESTS: readonly InterleavedRequest[] = [
  ...FRAMES.filter(([gfn]) => gfn !== DATA).flatMap(([gfn, name]) =>
    LETTERS.map(([permissions, letters]) => ({
      name: `${letters} on ${name}`,
      ranges: [range(gfn, gfn + 1, permissions)],
    })),
  ),
  { name: 'r-- on the data', ranges: [range(DATA, DATA + 1, READ)] },
  { name: 'r-- on the whole 2 MiB', ranges: [range(REGION.start, REGION.end, READ)] },
  {
    name: 'r-x on the text and, in the same list, r-- on the data',
    ranges: [range(TEXT, TEXT + 1, READ | EXEC), range(DATA, DATA + 1, READ)],
  },
];

/** An access of a processor. */
export interface InterleavedAccess {
  readonly name: string;
  run(vcpu: Vcpu): void;
}

export const ACCESSES: readonly InterleavedAccess[] = FRAMES.flatMap(([gfn, name]) => [
  { name: `reads ${name}`, run: (vcpu: Vcpu) => void vcpu.load(directAddress(gfn), 4) },
  {
    name: `stores to ${name}`,
    run: (vcpu: Vcpu) => void vcpu.store(directAddress(gfn), 4, BigInt(EVIL_WORD)),
  },
  { name: `executes ${name}`, run: (vcpu: Vcpu) => void vcpu.fetch(directAddress(gfn), 4) },
]);
