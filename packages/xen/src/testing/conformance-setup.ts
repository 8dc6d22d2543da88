import { MEM_ATTR_READ } from '@heki/hypercall/kvm';
import { HvmOp, XenHekiRequest, XenHypercall } from '@heki/hypercall/xen';
import type { ConformanceSetup, GuestCalls, GuestPlaces, MalformedCall } from '@heki/hypervisor/conformance';
import { type Gfn, type Pfn, writeU64 } from '@heki/physical-memory';
import { CR0, CR4 } from '@heki/x86';
import type { XenDomain } from '../domain.ts';
import type { XenEvent } from '../event.ts';
import type { XenOptions } from '../options.ts';
import { createXen } from '../xen.ts';
import { askMonitor, requestRanges } from './ask.ts';
import { xenLives } from './lives.ts';

/** The kit's set-up for Xen: the guest's requests to the monitor, and what a hostile one sends. */
export function xenSetup(options: XenOptions = {}): ConformanceSetup<XenDomain, XenEvent> {
  const bounded = { listPages: 64, ...options };
  return {
    hypervisor: createXen(bounded),
    deciding: (verdict) =>
      createXen({
        ...bounded,
        memoryVerdict: verdict,
        // A register write cannot fault.
        ...(verdict === 'page-fault' ? {} : { registerVerdict: verdict }),
      }),
    guestCalls: xenGuestCalls,
    lives: xenLives,
  };
}

function xenGuestCalls({ vcpu, memory, backing, scratch }: GuestPlaces<XenDomain>): GuestCalls {
  const guest = {
    page: (gfn: Gfn) => memory.page((backing + gfn) as Pfn),
    writablePage: (gfn: Gfn) => memory.writablePage((backing + gfn) as Pfn),
  };
  const list = BigInt(scratch) << 12n;
  const protect = (address: bigint, flags = 0n): boolean =>
    askMonitor(vcpu, XenHekiRequest.PROTECT_MEMORY, address, flags) === 0;
  const pin = (register: bigint, bits: bigint): boolean =>
    askMonitor(vcpu, XenHekiRequest.PIN_CONTROL_REGISTER, register, bits) === 0;
  /** A list page of raw words: the next page, the count, then start, end, permissions of each entry. */
  const raw = (next: bigint, count: bigint, ...entries: bigint[]): boolean => {
    for (const [i, word] of [0n, next, count, ...entries].entries()) {
      const address = ((backing + scratch) * 4096 + i * 8) as Parameters<typeof writeU64<Pfn>>[1];
      writeU64<Pfn>(memory, address, { low: Number(word % 2n ** 32n), high: Number(word >> 32n) });
    }
    return protect(list);
  };
  const attributes = BigInt(MEM_ATTR_READ);
  const good = [0x20_0000n, 0x20_1000n, attributes];
  const other = (first: bigint, second: bigint): boolean => {
    Object.assign(vcpu.registers, { rax: first, rdi: second });
    return vcpu.vmcall().kind === 'done' && vcpu.registers.rax === 0n;
  };
  const malformed: readonly MalformedCall[] = [
    { name: 'a list at no memory', run: () => protect(0x7000_0000_0000n) },
    { name: 'a list beyond all memory', run: () => protect(1n << 60n) },
    { name: 'a list that is not page-aligned', run: () => protect(list + 8n) },
    { name: 'a list that goes on at no memory', run: () => raw(0x7000_0000_0000n, 1n, ...good) },
    { name: 'a list that goes on between two pages', run: () => raw(list + 8n, 1n, ...good) },
    { name: 'a list that leads back to itself', run: () => raw(list, 1n, ...good) },
    { name: 'an empty list that leads back to itself', run: () => raw(list, 0n) },
    { name: '170 entries in a page', run: () => raw(0n, 170n, ...good) },
    { name: 'a count whose product wraps', run: () => raw(0n, 3n << 61n, ...good) },
    { name: 'a range outside memory', run: () => raw(0n, 1n, 0x2_0000_0000n, 0x2_0000_1000n, attributes) },
    { name: 'a range of all memory and more', run: () => raw(0n, 1n, 0n, (1n << 64n) - 4096n, attributes) },
    { name: 'an empty range behind a good one', run: () => raw(0n, 2n, ...good, 0n, 0n, attributes) },
    {
      name: 'a range that is not page-aligned behind a good one',
      run: () => raw(0n, 2n, ...good, 0x20_1800n, 0x20_3000n, attributes),
    },
    { name: 'permissions that do not exist', run: () => raw(0n, 1n, 0x20_0000n, 0x20_1000n, 1n << 40n) },
    { name: 'a pin of a register that cannot be pinned', run: () => pin(3n, 1n) },
    { name: 'a pin of a register whose number is cut', run: () => pin((1n << 32n) + 4n, CR4.SMEP) },
    { name: 'a pin of nothing', run: () => pin(4n, 0n) },
    { name: 'a pin of bits that the guest does not have', run: () => pin(4n, CR4.SMEP | CR4.PKE) },
    { name: 'a pin of bits that cannot be pinned', run: () => pin(4n, CR4.SMEP | CR4.PGE) },
    { name: 'a pin of CR0 without WP', run: () => pin(0n, CR0.NE) },
    { name: 'an unknown request', run: () => askMonitor(vcpu, 77n) === 0 },
    {
      name: 'a request of user code',
      run() {
        vcpu.registers.cpl = 3;
        return raw(0n, 1n, ...good);
      },
    },
    {
      name: 'a view of its own',
      run: () => other(BigInt(XenHypercall.HVM_OP), BigInt(HvmOp.ALTP2M)),
    },
    { name: 'access types set by the guest itself', run: () => other(BigInt(XenHypercall.MEMORY_OP), 0n) },
  ];
  return {
    request: (cpu, ranges) => requestRanges(cpu, guest, scratch, ranges) === 0,
    pin: (cpu, register, bits) =>
      askMonitor(cpu, XenHekiRequest.PIN_CONTROL_REGISTER, BigInt(register), bits) === 0,
    malformed,
  };
}
