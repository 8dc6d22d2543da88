import {
  encodeHvControl,
  encodeHvModifyProtection,
  encodeHvSetRegisters,
  encodeLvbsRanges,
  HV_PARTITION_SELF,
  HvCall,
  HvRegister,
  LvbsFunction,
  type LvbsRange,
  mapFlagsOfAttributes,
} from '@heki/hypercall/hyperv';
import { MEM_ATTR_EXEC, MEM_ATTR_READ, MEM_ATTR_WRITE } from '@heki/hypercall/kvm';
import type { Rights } from '@heki/hypervisor';
import type { ConformanceSetup, GuestCalls, GuestPlaces } from '@heki/hypervisor/conformance';
import { addressOf, type Gfn, type Gpa } from '@heki/physical-memory';
import type { Vcpu } from '@heki/vcpu';
import type { HypervEvent } from '../event.ts';
import { createHyperv } from '../hyperv.ts';
import type { HypervOptions } from '../options.ts';
import { rightsOfFlags } from '../partition/map-flags.ts';
import type { HypervVirtualMachine } from '../virtual-machine.ts';
import { hypervLives } from './lives.ts';
import { vtlCall } from './vtl-call.ts';

/** The kit's set-up for Hyper-V: the calls of a guest in VTL0 to the secure kernel, and what a hostile one sends. */
export function hypervSetup(options: HypervOptions): ConformanceSetup<HypervVirtualMachine, HypervEvent> {
  return {
    hypervisor: createHyperv({ rangePages: 64, ...options }),
    guestCalls: hypervGuestCalls,
    lives: hypervLives,
  };
}

function attributesOf(rights: Rights): number {
  return (
    (rights.read ? MEM_ATTR_READ : 0) |
    (rights.write ? MEM_ATTR_WRITE : 0) |
    (rights.supervisorExecute ? MEM_ATTR_EXEC : 0)
  );
}

function hypervGuestCalls(places: GuestPlaces<HypervVirtualMachine>): GuestCalls {
  const { vm, vcpu, memory, backing, scratch } = places;
  const guest = {
    page: (gfn: Gfn) => memory.page((backing + gfn) as typeof backing),
    writablePage: (gfn: Gfn) => memory.writablePage((backing + gfn) as typeof backing),
  };
  const list = BigInt(scratch) * 4096n;
  const frames = Array.from({ length: 64 }, (_, i) => (scratch + i) as Gfn);
  const protect = (cpu: Vcpu, ranges: readonly LvbsRange[]): boolean => {
    const first = encodeLvbsRanges({ memory: guest, frames, ranges });
    return vtlCall(cpu, LvbsFunction.PROTECT_MEMORY, BigInt(first ?? 0), BigInt(ranges.length)) === 0n;
  };
  const range = (pa: number, epa: number, attributes = 1): LvbsRange => ({
    va: 0n,
    pa: pa as Gpa,
    epa: epa as Gpa,
    attributes,
  });
  const good = range(0x20_0000, 0x20_1000);
  /** A good list with words of its first page changed. */
  const changed = (word: number, ...values: number[]): boolean => {
    encodeLvbsRanges({ memory: guest, frames, ranges: [good] });
    guest.writablePage(scratch as Gfn)?.set(values, word);
    return vtlCall(vcpu, LvbsFunction.PROTECT_MEMORY, list, 1n) === 0n;
  };
  /** A hypercall that only VTL1 may make. */
  const modify = (targetVtl: number | undefined): boolean => {
    const input = { partition: HV_PARTITION_SELF, flags: 0, targetVtl, pages: [0x200] };
    vm.write('vmm', Number(list) as Gpa, encodeHvModifyProtection(input));
    const rcx = encodeHvControl({ code: HvCall.MODIFY_VTL_PROTECTION_MASK, repCount: 1 });
    Object.assign(vcpu.registers, { rcx, rdx: list, r8: 0n });
    return vcpu.vmcall().kind === 'done' && vcpu.registers.rax === 1n << 32n;
  };
  const byUserCode = (fn: number, first = 0n, second = 0n): boolean => {
    encodeLvbsRanges({ memory: guest, frames, ranges: [good] });
    vcpu.registers.cpl = 3;
    return vtlCall(vcpu, fn, first, second) === 0n;
  };
  const longer = (): boolean => {
    encodeLvbsRanges({ memory: guest, frames, ranges: [good] });
    return vtlCall(vcpu, LvbsFunction.PROTECT_MEMORY, list, 2n) === 0n;
  };
  const hypercall = (rcx: bigint): boolean => {
    Object.assign(vcpu.registers, { rcx, rdx: list, r8: 0n, rax: 0n });
    return vcpu.vmcall().kind === 'done' && (vcpu.registers.rax & 0xffffn) === 0n;
  };
  /** The intercepts of VTL0 taken away, or its CR4 set past them. */
  const setRegisters = (vtl: 0 | 1): boolean => {
    const values = [{ name: vtl === 1 ? HvRegister.CR_INTERCEPT_CONTROL : HvRegister.CR4, value: 0n }];
    const input = encodeHvSetRegisters({ partition: HV_PARTITION_SELF, vp: 0, vtl, values });
    vm.write('vmm', Number(list) as Gpa, input);
    return hypercall(encodeHvControl({ code: HvCall.SET_VP_REGISTERS, repCount: 1 }));
  };
  const call = (first: bigint, total: bigint): boolean =>
    vtlCall(vcpu, LvbsFunction.PROTECT_MEMORY, first, total) === 0n;
  return {
    asksFor: (wanted) => rightsOfFlags(mapFlagsOfAttributes(attributesOf(wanted))),
    request: (cpu, ranges) =>
      protect(
        cpu,
        ranges.map(({ start, end, rights }) => ({
          va: 0n,
          pa: addressOf(start),
          epa: addressOf(end),
          attributes: attributesOf(rights),
        })),
      ),
    endOfBoot: (cpu) => vtlCall(cpu, LvbsFunction.SIGNAL_END_OF_BOOT) === 0n,
    // Its one call locks everything that can be locked.
    pin: (cpu) => vtlCall(cpu, LvbsFunction.LOCK_REGS) === 0n,
    malformed: [
      { name: 'a list at no memory', run: () => call(0x7000_0000_0000n, 1n) },
      { name: 'a list that is not page-aligned', run: () => call(list + 8n, 1n) },
      { name: 'no list', run: () => call(0n, 1n) },
      { name: 'a total of no ranges', run: () => call(list, 0n) },
      { name: 'a total that wraps', run: () => call(list, 1n << 63n) },
      { name: 'a list that goes on at no memory', run: () => changed(2, 0, 0x7000) },
      { name: 'a list that leads back to itself', run: () => changed(2, scratch * 4096) },
      { name: 'an empty page that leads back to itself', run: () => changed(2, scratch * 4096, 0, 0) },
      { name: '128 ranges in a page', run: () => changed(4, 128) },
      { name: 'attributes that do not exist', run: () => changed(12, 16) },
      {
        name: 'a range outside memory',
        run: () => protect(vcpu, [good, range(0x2_0000_0000, 0x2_0000_1000)]),
      },
      {
        name: 'a range that is not page-aligned',
        run: () => protect(vcpu, [good, range(0x20_1800, 0x20_3000)]),
      },
      { name: 'an empty range', run: () => protect(vcpu, [good, range(0x20_1000, 0x20_1000)]) },
      { name: 'a total that is more than the list holds', run: () => longer() },
      {
        name: 'a range that wraps around the end of all addresses',
        run: () => protect(vcpu, [good, range(0x20_3000, 0x20_0000)]),
      },
      { name: 'a list of user code', run: () => byUserCode(LvbsFunction.PROTECT_MEMORY, list, 1n) },
      { name: 'locked registers by user code', run: () => byUserCode(LvbsFunction.LOCK_REGS) },
      { name: 'the end of boot said by user code', run: () => byUserCode(LvbsFunction.SIGNAL_END_OF_BOOT) },
      { name: 'a return from VTL0', run: () => hypercall(BigInt(HvCall.VTL_RETURN)) },
      { name: 'registers of VTL1 set by VTL0', run: () => setRegisters(1) },
      { name: 'registers of VTL0 set by VTL0', run: () => setRegisters(0) },
      { name: 'a function that does not exist', run: () => vtlCall(vcpu, 0x1_fff0, list, 1n) === 0n },
      { name: 'protection set by VTL0 itself', run: () => modify(undefined) },
      { name: 'protection set by VTL0 for VTL1', run: () => modify(1) },
    ],
  };
}
