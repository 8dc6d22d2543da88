import { type Gfn, type Gpa, readBytes } from '@heki/physical-memory';
import type { Vcpu } from '@heki/vcpu';
import type { GuestCalls, GuestPlaces } from '../../conformance/setup.ts';
import type { ProtectionRange } from '../../rights.ts';
import type { ReferenceMachine } from './reference-machine.ts';

/** Functions of the guest's hypercall, in RAX; RBX and RCX are their arguments, RAX is 0 when it was taken. */
export const ReferenceCall = {
  /** RBX: address of a list, RCX: its length; three words for each range: first frame, end, rights as bits. */
  PROTECT: 1n,
  /** RBX: 0 or 4, RCX: bits. */
  PIN: 2n,
  END_OF_BOOT: 3n,
} as const;

const WORDS = 3;
const MOST = 4096;

/** The list at `address`, or `undefined` when it cannot be read or makes no sense. */
export function readRanges(
  memory: Parameters<typeof readBytes<Gfn>>[0],
  address: bigint,
  count: bigint,
): readonly ProtectionRange[] | undefined {
  if (address % 8n !== 0n || address >= 1n << 52n || count > MOST) return undefined;
  const bytes = new Uint8Array(Number(count) * WORDS * 8);
  if (readBytes<Gfn>(memory, Number(address) as Gpa, bytes) < bytes.length) return undefined;
  const view = new DataView(bytes.buffer);
  const word = (index: number): bigint => view.getBigUint64(index * 8, true);
  const ranges: ProtectionRange[] = [];
  for (let i = 0; i < Number(count); i++) {
    const bits = word(WORDS * i + 2);
    if (bits > 31n || word(WORDS * i) > 1n << 40n || word(WORDS * i + 1) > 1n << 40n) return undefined;
    const has = (bit: bigint): boolean => (bits & bit) !== 0n;
    ranges.push({
      start: Number(word(WORDS * i)) as Gfn,
      end: Number(word(WORDS * i + 1)) as Gfn,
      rights: { read: has(1n), write: has(2n), supervisorExecute: has(4n), userExecute: has(8n) },
      immutable: has(16n),
    });
  }
  return ranges;
}

/** The guest's side. */
export function referenceCalls({ vm, vcpu, scratch }: GuestPlaces<ReferenceMachine>): GuestCalls {
  const list = BigInt(scratch) * 4096n;
  const call = (cpu: Vcpu, rax: bigint, rbx = 0n, rcx = 0n): boolean => {
    Object.assign(cpu.registers, { rax, rbx, rcx });
    return cpu.vmcall().kind === 'done' && cpu.registers.rax === 0n;
  };
  const protect = (cpu: Vcpu, words: readonly bigint[], count = BigInt(words.length / WORDS)): boolean => {
    const bytes = new Uint8Array(words.length * 8);
    const view = new DataView(bytes.buffer);
    for (const [index, word] of words.entries()) view.setBigUint64(index * 8, word, true);
    vm.load(Number(list) as Gpa, bytes);
    return call(cpu, ReferenceCall.PROTECT, list, count);
  };
  const wordsOf = ({ start, end, rights, immutable }: ProtectionRange): bigint[] => [
    BigInt(start),
    BigInt(end),
    (rights.read ? 1n : 0n) |
      (rights.write ? 2n : 0n) |
      (rights.supervisorExecute ? 4n : 0n) |
      (rights.userExecute ? 8n : 0n) |
      (immutable === true ? 16n : 0n),
  ];
  const good = [0x200n, 0x201n, 1n];
  return {
    request: (cpu, ranges) => protect(cpu, ranges.flatMap(wordsOf)),
    pin: (cpu, register, bits) => call(cpu, ReferenceCall.PIN, BigInt(register), bits),
    endOfBoot: (cpu) => call(cpu, ReferenceCall.END_OF_BOOT),
    emulator: {
      movToCr: (cpu, register, value) => vm.emulatedMovToCr(cpu, register, value),
      store: (cpu, gpa, bytes) => vm.emulatedStore(cpu, gpa, bytes),
    },
    nested: (cpu) => vm.enterNested(cpu),
    malformed: [
      { name: 'a list at no memory', run: () => call(vcpu, ReferenceCall.PROTECT, 0x7000_0000_0000n, 1n) },
      { name: 'a list that is not aligned', run: () => call(vcpu, ReferenceCall.PROTECT, list + 4n, 1n) },
      { name: 'a count that wraps', run: () => protect(vcpu, good, 1n << 63n) },
      { name: 'rights that do not exist', run: () => protect(vcpu, [...good, 0x200n, 0x201n, 32n]) },
      { name: 'a range beyond all memory', run: () => protect(vcpu, [0x200n, 1n << 52n, 1n]) },
      { name: 'a pin of another register', run: () => call(vcpu, ReferenceCall.PIN, 3n, 1n) },
      { name: 'a function that does not exist', run: () => call(vcpu, 77n) },
    ],
  };
}
