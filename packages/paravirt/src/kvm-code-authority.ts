import type { HekiCodeAuthority } from '@heki/guest';
import { Errno } from '@heki/hypercall/errno';
import {
  CODE_ABI_VERSION,
  CODE_POKES_PER_PAGE,
  CODE_VERSION,
  CodeJit,
  codeExtents,
  encodeCodeLoad,
  encodeCodePokes,
  encodeCodeSeal,
  KvmHypercall,
  pagesOfCodeRequest,
} from '@heki/hypercall/kvm';
import { addressOf, type Gfn } from '@heki/physical-memory';
import type { DriverMemory } from './driver-memory.ts';
import { type DriverVcpu, kvmHypercall } from './hypercall.ts';

/** The owner of the kernel's code on KVM's host side; `undefined` where there is none. */
export function codeAuthorityOnKvm(
  vcpu: () => DriverVcpu,
  memory: DriverMemory,
): HekiCodeAuthority | undefined {
  const call = (number: number, a0: bigint, a1 = 0n, a2 = 0n): number =>
    Number(BigInt.asIntN(32, kvmHypercall(vcpu(), number, a0, a1, a2)));
  if (call(KvmHypercall.CODE_SEAL, 0n, BigInt(CODE_VERSION)) !== CODE_ABI_VERSION) return undefined;

  /** Stores what `encode` makes into pages of its own, and makes the call with the first. */
  function callWithPages(
    number: number,
    count: number,
    encode: (frames: readonly Gfn[]) => Uint8Array[],
    a1 = 0n,
    a2 = 0n,
  ): number {
    const frames: Gfn[] = [];
    try {
      while (frames.length < count) {
        const frame = memory.allocatePage();
        if (frame === undefined) return -Errno.ENOMEM;
        frames.push(frame);
      }
      for (const [index, page] of encode(frames).entries()) {
        if (!memory.store(frames[index] ?? (0 as Gfn), 0, page)) return -Errno.EFAULT;
      }
      return call(number, BigInt(addressOf(frames[0] ?? (0 as Gfn))), a1, a2);
    } finally {
      for (const frame of frames) memory.freePage(frame);
    }
  }

  return {
    seal(parts, states) {
      const request = { parts: parts.map(partOf), states };
      return callWithPages(KvmHypercall.CODE_SEAL, pagesOfCodeRequest(request), (frames) =>
        encodeCodeSeal(request, frames),
      );
    },
    load({ bytes, frames: pages }, parts) {
      const request = { file: { bytes, extents: codeExtents(pages) }, parts: parts.map(partOf), states: [] };
      return callWithPages(KvmHypercall.CODE_LOAD, pagesOfCodeRequest(request), (frames) =>
        encodeCodeLoad(request, frames),
      );
    },
    poke(image, sites) {
      for (let first = 0; first < sites.length; first += CODE_POKES_PER_PAGE) {
        const batch = sites.slice(first, first + CODE_POKES_PER_PAGE);
        const result = callWithPages(KvmHypercall.CODE_POKE, 1, () => [
          encodeCodePokes(batch.map((entry) => ({ ...entry, image }))),
        ]);
        if (result !== 0) return result;
      }
      return 0;
    },
    initDone: (image) => call(KvmHypercall.CODE_RETIRE, BigInt(image), 1n),
    retire: (image) => call(KvmHypercall.CODE_RETIRE, BigInt(image)),
    trampoline: (template, target, frame, address) =>
      call(
        KvmHypercall.CODE_TRAMPOLINE,
        BigInt(template) + (BigInt(target) << 32n),
        BigInt(addressOf(frame)),
        BigInt.asUintN(64, address),
      ),
    makePack(pack) {
      const request = { parts: [partOf(pack)], states: [] };
      return callWithPages(
        KvmHypercall.CODE_JIT,
        pagesOfCodeRequest(request),
        (frames) => encodeCodeSeal(request, frames),
        0n,
        BigInt(CodeJit.MAKE_PACK),
      );
    },
    addProgram(pack, slot, { bytes, frames: pages }) {
      const request = { file: { bytes, extents: codeExtents(pages) }, parts: [], states: [] };
      return callWithPages(
        KvmHypercall.CODE_JIT,
        pagesOfCodeRequest(request),
        (frames) => encodeCodeLoad(request, frames),
        programAt(pack, slot),
        BigInt(CodeJit.ADD_PROGRAM),
      );
    },
    removeProgram: (pack, slot) =>
      call(KvmHypercall.CODE_JIT, 0n, programAt(pack, slot), BigInt(CodeJit.REMOVE_PROGRAM)),
  };
}

function programAt(pack: number, slot: number): bigint {
  return BigInt(pack) + (BigInt(slot) << 32n);
}

function partOf({ address, frames }: { readonly address: bigint; readonly frames: readonly Gfn[] }) {
  return { address: BigInt.asUintN(64, address), extents: codeExtents(frames) };
}
