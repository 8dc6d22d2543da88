import {
  encodePageList,
  MEM_ATTR_EXEC,
  MEM_ATTR_IMMUTABLE,
  MEM_ATTR_READ,
  MEM_ATTR_WRITE,
} from '@heki/hypercall/kvm';
import {
  HvmOp,
  XEN_HEKI_DENY_READING,
  XEN_HEKI_DENY_USER_EXECUTION,
  XenHekiRequest,
  XenHypercall,
} from '@heki/hypercall/xen';
import type { ProtectionRange } from '@heki/hypervisor';
import type { Gfn, PhysicalMemory, VirtualAddress } from '@heki/physical-memory';
import type { Vcpu } from '@heki/vcpu';
import { DIRECT_MAP } from './guest.ts';

/** GUEST_REQUEST: the monitor's answer as a signed number. */
export function askMonitor(cpu: Vcpu, request: bigint, first = 0n, second = 0n): number {
  Object.assign(cpu.registers, {
    rax: BigInt(XenHypercall.HVM_OP),
    rdi: BigInt(HvmOp.GUEST_REQUEST_VM_EVENT),
    rbx: request,
    rcx: first,
    rdx: second,
  });
  const { kind } = cpu.vmcall();
  if (kind !== 'done') throw new Error(`VMCALL ended with ${kind}`);
  return Number(BigInt.asIntN(64, cpu.registers.rax));
}

/** Writes `ranges` as page lists from guest frame `at` on and asks for them. */
export function requestRanges(
  cpu: Vcpu,
  memory: PhysicalMemory<Gfn>,
  at: number,
  ranges: readonly ProtectionRange[],
): number {
  const denies = (right: 'read' | 'userExecute'): boolean => ranges.every(({ rights }) => !rights[right]);
  const flags =
    (denies('userExecute') ? XEN_HEKI_DENY_USER_EXECUTION : 0n) |
    (denies('read') ? XEN_HEKI_DENY_READING : 0n);
  const list = encodePageList({
    memory,
    frames: Array.from({ length: Math.ceil(ranges.length / 169) }, (_, index) => (at + index) as Gfn),
    ranges: ranges.map(({ start, end, rights, immutable }) => ({
      start,
      end,
      permissions:
        (rights.read || denies('read') ? MEM_ATTR_READ : 0) |
        (rights.write ? MEM_ATTR_WRITE : 0) |
        (rights.supervisorExecute ? MEM_ATTR_EXEC : 0) |
        (immutable === true ? MEM_ATTR_IMMUTABLE : 0),
    })),
    directMap: DIRECT_MAP as VirtualAddress,
  });
  return askMonitor(cpu, XenHekiRequest.PROTECT_MEMORY, BigInt(list), flags);
}
