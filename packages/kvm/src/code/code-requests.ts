import type { Placement, Request } from '@heki/code-authority';
import { Errno } from '@heki/hypercall/errno';
import {
  CODE_ABI_VERSION,
  CODE_VERSION,
  CodeJit,
  type CodePart,
  type CodeRequestResult,
  decodeCodeLoad,
  decodeCodePokes,
  decodeCodeSeal,
  framesOfExtents,
  KvmHypercall,
} from '@heki/hypercall/kvm';
import { type Gfn, PAGE_SIZE, PHYSICAL_ADDRESS_END } from '@heki/physical-memory';
import { yieldAt } from '../host/yield.ts';
import type { HekiVmState } from '../vm-state.ts';
import type { CodeOwner } from './code-owner.ts';
import { malformed, type Result, resultOf } from './request-result.ts';
import { forgedSites, weakerRequest } from './weaker-requests.ts';

const LIST_ERROR = { absent: Errno.EFAULT, 'too-much': Errno.E2BIG, malformed: Errno.EINVAL } as const;
const LOW_32 = 0xffff_ffffn;

/** A hypercall to the owner of the code; `undefined` when `number` is none. */
export function codeRequest(
  vm: HekiVmState,
  owner: CodeOwner,
  number: bigint,
  a0: bigint,
  a1: bigint,
  a2: bigint,
): number | undefined {
  const handle = HANDLERS.get(number);
  if (handle === undefined) return undefined;
  if (number === BigInt(KvmHypercall.CODE_SEAL) && a1 === BigInt(CODE_VERSION)) return CODE_ABI_VERSION;
  const { result, refused } = vm.locks.with('slots_arch_lock', () => handle(vm, owner, a0, a1, a2));
  vm.emit?.({ type: 'code-request', number: Number(number), result, refused });
  return result;
}

type Handler = (vm: HekiVmState, owner: CodeOwner, a0: bigint, a1: bigint, a2: bigint) => Result;

const HANDLERS: ReadonlyMap<bigint, Handler> = new Map<bigint, Handler>([
  [BigInt(KvmHypercall.CODE_SEAL), seal],
  [BigInt(KvmHypercall.CODE_LOAD), load],
  [BigInt(KvmHypercall.CODE_POKE), poke],
  [BigInt(KvmHypercall.CODE_RETIRE), retire],
  [BigInt(KvmHypercall.CODE_TRAMPOLINE), trampoline],
  [BigInt(KvmHypercall.CODE_JIT), jit],
]);

function seal(vm: HekiVmState, { authority, kernel }: CodeOwner, list: bigint, flags: bigint): Result {
  if (flags !== 0n) return malformed('unknown flags');
  return decoded(decodeCodeSeal(vm.memory, list), ({ parts, states }) => {
    const all = new Array<number>(kernel.sites.length).fill(0);
    for (const { site, state } of states) {
      if (site >= all.length) return malformed(`site ${site} of ${all.length}`);
      all[site] = state;
    }
    return carryOut(vm, authority.seal(kernel, placementOf(parts), all));
  });
}

function load(vm: HekiVmState, { authority }: CodeOwner, list: bigint): Result {
  return decoded(decodeCodeLoad(vm.memory, list), ({ file, parts, states }) => {
    const sites = forgedSites(vm, states);
    if (sites === undefined && states.length > 0) return malformed('states of sites');
    const copied = { pages: framesOfExtents(file.extents), length: file.bytes };
    return carryOut(vm, authority.load(copied, placementOf(parts), sites));
  });
}

function poke(vm: HekiVmState, { authority }: CodeOwner, page: bigint, flags: bigint, more: bigint): Result {
  if (flags !== 0n) return weakerRequest(vm, authority, { flags, what: page, more });
  return decoded(decodeCodePokes(vm.memory, page), (pokes) => carryOut(vm, authority.poke(pokes)));
}

function retire(vm: HekiVmState, { authority }: CodeOwner, image: bigint, what: bigint): Result {
  if (image > LOW_32 || what > 1n) return malformed(`image ${image}, ${what}`);
  return carryOut(vm, what === 0n ? authority.retire(Number(image)) : authority.initDone(Number(image)));
}

function trampoline(
  vm: HekiVmState,
  { authority }: CodeOwner,
  what: bigint,
  page: bigint,
  address: bigint,
): Result {
  const template = authority.templates[Number(what & LOW_32)];
  if (template === undefined) return malformed(`template ${what & LOW_32}`);
  if (page % BigInt(PAGE_SIZE) !== 0n || page >= BigInt(PHYSICAL_ADDRESS_END))
    return malformed(`a page at ${page}`);
  const target = template.targets[Number(what >> 32n)];
  const frame = Number(page / BigInt(PAGE_SIZE)) as Gfn;
  return carryOut(vm, authority.trampoline(template.name, target, frame, address));
}

function jit(vm: HekiVmState, { authority }: CodeOwner, list: bigint, program: bigint, what: bigint): Result {
  const place = { pack: Number(program & LOW_32), slot: Number(program >> 32n) };
  switch (what) {
    case BigInt(CodeJit.MAKE_PACK):
      return decoded(decodeCodeSeal(vm.memory, list), ({ parts: [part, ...more], states }) => {
        if (part === undefined || more.length > 0 || states.length > 0 || program !== 0n)
          return malformed('expected one part, and nothing else');
        return carryOut(vm, authority.makePack(framesOfExtents(part.extents), part.address));
      });
    case BigInt(CodeJit.ADD_PROGRAM):
      return decoded(decodeCodeLoad(vm.memory, list), ({ file, parts, states }) => {
        if (parts.length > 0 || states.length > 0) return malformed('expected a file, and nothing else');
        const copied = { pages: framesOfExtents(file.extents), length: file.bytes };
        return carryOut(vm, authority.addProgram(place, copied));
      });
    case BigInt(CodeJit.REMOVE_PROGRAM):
      return list === 0n ? resultOf(authority.removeProgram(place)) : malformed('a list');
    default:
      return malformed(`${what} is nothing that can be asked of a pack`);
  }
}

function decoded<Value>(read: CodeRequestResult<Value>, use: (value: Value) => Result): Result {
  return read.ok ? use(read.request) : { result: -LIST_ERROR[read.why], refused: read.text };
}

function placementOf(parts: readonly CodePart[]): Placement {
  return {
    bases: parts.map(({ address }) => address),
    frames: parts.map(({ extents }) => framesOfExtents(extents)),
  };
}

/** Carries a request through. Other virtual CPUs may act where it stops; what they ask meanwhile waits for the lock. */
function carryOut(vm: HekiVmState, request: Request<number | undefined>): Result {
  for (;;) {
    const { done, value } = request.next();
    if (done === true) return resultOf(value);
    yieldAt(vm, value === 'copied' || value === 'read' ? 'guest-read' : 'attribute-change');
  }
}
