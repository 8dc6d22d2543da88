import type { HekiCodeAuthority } from '@heki/guest';
import { codeExtents, encodeCodeLoad, KvmHypercall } from '@heki/hypercall/kvm';
import { addressOf, type Gfn, PAGE_SIZE, type VirtualAddress } from '@heki/physical-memory';
import type { Lab } from './lab.ts';

/** What is asked of an owner of code with one's own registers, in the place of the kernel. */
export interface CodeRequests {
  readonly authority: HekiCodeAuthority;
  /** Writes a request for LOAD of a file, into these pages, with sites that the attacker names: what makes it. */
  load(
    file: Uint8Array,
    parts: readonly { address: bigint; frames: readonly Gfn[] }[],
    sites?: readonly Forged[],
  ): () => number;
  /** POKE with flags: what only a weaker owner knows. */
  weaker(flags: number, image: number, index: number, more: bigint): number;
}

/** A jump where no file has one. */
interface Forged {
  readonly site: number;
  readonly target: number;
}

/** @throws {NotExpressible} where nobody owns the code, or it is not sealed */
export function codeRequests(lab: Lab): CodeRequests {
  const { kernel, heki } = lab.machine;
  const authority = heki.hypervisor?.codeAuthority;
  if (authority === undefined || (kernel.hekiInit.seal ?? 0) <= 0)
    lab.notExpressible('no owner of code has sealed it');
  const call = (number: number, a0: bigint, a1 = 0n, a2 = 0n): number => {
    const { vcpu } = kernel;
    const { rax, rbx, rcx, rdx } = vcpu.registers;
    Object.assign(vcpu.registers, { rax: BigInt(number), rbx: a0, rcx: a1, rdx: a2 });
    vcpu.vmcall();
    const result = Number(BigInt.asIntN(32, vcpu.registers.rax));
    Object.assign(vcpu.registers, { rax, rbx, rcx, rdx });
    return result;
  };
  return {
    authority: authority ?? lab.notExpressible('there is no owner of code'),
    load(file, parts, sites = []) {
      const frames = storePages(lab, [file]);
      const list = lab.prepare('allocate a page', (own) => own.allocatePages());
      const request = {
        file: { bytes: file.length, extents: codeExtents(frames) },
        parts: parts.map(({ address, frames: at }) => ({
          address: BigInt.asUintN(64, address),
          extents: codeExtents(at),
        })),
        states: sites.map(({ site, target }) => ({ site, state: target })),
      };
      for (const page of encodeCodeLoad(request, [list])) storePage(lab, list, page);
      return () => lab.request('vmcall: LOAD', () => call(KvmHypercall.CODE_LOAD, BigInt(addressOf(list))));
    },
    weaker: (flags, image, index, more) =>
      lab.request('vmcall: POKE with flags', () =>
        call(KvmHypercall.CODE_POKE, BigInt(image) + (BigInt(index) << 32n), BigInt(flags), more),
      ),
  };
}

/** Pages of the attacker's with these bytes. */
function storePages(lab: Lab, all: readonly Uint8Array[]): Gfn[] {
  return all.flatMap((bytes) =>
    Array.from({ length: Math.ceil(bytes.length / PAGE_SIZE) }, (_, page) => {
      const frame = lab.prepare('allocate a page', (kernel) => kernel.allocatePages());
      storePage(lab, frame, bytes.subarray(page * PAGE_SIZE, (page + 1) * PAGE_SIZE));
      return frame;
    }),
  );
}

/** Stores a page by the direct map: `bytes`, and zeros behind them. */
export function storePage(lab: Lab, frame: Gfn, bytes: Uint8Array): void {
  const page = new Uint8Array(PAGE_SIZE);
  page.set(bytes);
  const view = new DataView(page.buffer);
  for (let at = 0; at < PAGE_SIZE; at += 8)
    lab.cpu.store(lab.direct(frame, at) as VirtualAddress, 8, view.getBigUint64(at, true));
}
