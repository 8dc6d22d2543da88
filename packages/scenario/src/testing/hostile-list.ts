import { KvmHypercall } from '@heki/hypercall/kvm';
import type { LinuxMachine } from '@heki/machine';
import { addressOf, type Gfn, type VirtualAddress } from '@heki/physical-memory';
import type { Choice } from './random-life.ts';

/** Bytes far beyond any memory. */
const BEYOND = 2 ** 44;

/**
 * Kernel code asks KVM by itself, with a list page of its own making: with more entries than fit, a range beyond memory, and a link that leads back to
 * itself, to where there is no memory, or nowhere.
 */
export function sendHostileList(machine: LinuxMachine, { which, how }: Choice): void {
  const { kernel } = machine;
  const page = kernel.allocatePages();
  if (page.kind !== 'done') return;
  const frame: Gfn = page.value;
  const next = [addressOf(frame), 0, BEYOND, addressOf(frame)][which] ?? 0;
  // Behind memory that was plugged in, too, or the range would be one that KVM has no reason to refuse.
  const end = how % 2 === 0 ? 2 ** 33 + how * 2 ** 32 : 2 ** 51;
  // next (a virtual address, of no use to KVM), next_pa, npages; then the first entry: pa, epa, permissions.
  const header = [...u64(0), ...u64(next), ...u64(how % 3 === 0 ? 1 : how * 7)];
  const words = [...header, ...u64(addressOf(frame)), ...u64(end), ...u64(7)];
  const base = BigInt(kernel.layout.directMap + frame) << 12n;
  const { vcpu } = kernel;
  for (const [index, word] of words.entries()) {
    vcpu.store((base + BigInt(4 * index)) as VirtualAddress, 4, BigInt(word));
  }
  Object.assign(vcpu.registers, {
    rax: BigInt(KvmHypercall.PROTECT_MEMORY),
    rbx: BigInt(addressOf(frame) + (which === 3 ? 8 : 0)),
    rcx: 0n,
    rdx: 0n,
    rsi: 0n,
  });
  vcpu.vmcall();
  kernel.freePages(frame);
}

/** The halves of a u64, low first. */
const u64 = (value: number): [number, number] => [value % 2 ** 32, Math.floor(value / 2 ** 32)];
