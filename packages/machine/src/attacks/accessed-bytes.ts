import { type Gfn, type PhysicalMemory, readBytes, type VirtualAddress } from '@heki/physical-memory';
import type { Vcpu } from '@heki/vcpu';
import { translate } from '@heki/x86';
import type { AccessedBytes, AttackStep } from './attack-result.ts';

/** An instruction has 15 at most. */
const MOST = 16;
const PAGE = 4096n;

/**
 * Reads what is at an address of the kernel, at most 16 bytes, as page tables have it at the time: no access of the guest, and whatever the
 * rights. `undefined` where nothing is mapped, or the snapshot has no contents.
 */
export function createBytesAt({
  vcpu,
  memory,
}: {
  readonly vcpu: Vcpu;
  readonly memory: PhysicalMemory<Gfn>;
}): (va: VirtualAddress) => Uint8Array | undefined {
  const within = (va: VirtualAddress, length: number): Uint8Array | undefined => {
    const { outcome } = translate(vcpu.registers, memory, va, LOOK, vcpu.processor);
    if (outcome.kind !== 'mapped') return undefined;
    const bytes = new Uint8Array(length);
    return readBytes(memory, outcome.gpa, bytes) === length ? bytes : undefined;
  };
  return (va) => {
    const length = Math.min(MOST, Number(PAGE - (va % PAGE)));
    const first = within(va, length);
    if (first === undefined || length === MOST) return first;
    const next = within(BigInt.asUintN(64, va + BigInt(length)) as VirtualAddress, MOST - length);
    return next === undefined ? first : Uint8Array.of(...first, ...next);
  };
}

/** No rule of user pages stands in the way of looking. */
const LOOK = { kind: 'read', mode: 'implicit-supervisor' } as const;

/** What is at each of `addresses`, as far as there is anything to see. */
export function bytesAtEach(
  bytesAt: (va: VirtualAddress) => Uint8Array | undefined,
  addresses: readonly (VirtualAddress | undefined)[],
): ReadonlyMap<VirtualAddress, Uint8Array> {
  const all = new Map<VirtualAddress, Uint8Array>();
  for (const address of addresses) {
    const bytes = address === undefined ? undefined : bytesAt(address);
    if (address !== undefined && bytes !== undefined) all.set(address, bytes);
  }
  return all;
}

/**
 * What an attack on `target` found there, and what was there at the access that decided, or at its last.
 *
 * @param before what was at the known targets when it began: an entry that leads there may be changed before anything is accessed
 */
export function bytesOfAttack(
  target: VirtualAddress | undefined,
  decisive: AttackStep | undefined,
  steps: readonly AttackStep[],
  before: ReadonlyMap<VirtualAddress, Uint8Array>,
): AccessedBytes | undefined {
  if (target === undefined) return undefined;
  const accesses = steps.flatMap(({ bytes }) =>
    bytes !== undefined && bytes.address === target ? [bytes] : [],
  );
  const [first] = accesses;
  const decided = decisive?.bytes?.address === target ? decisive.bytes : accesses.at(-1);
  if (first === undefined || decided === undefined) return undefined;
  return { ...decided, before: before.get(target) ?? first.before };
}
