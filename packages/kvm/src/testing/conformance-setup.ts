import { encodePageList, KvmHypercall } from '@heki/hypercall/kvm';
import type { Hypervisor, ProtectionRange, Rights, VirtualMachine } from '@heki/hypervisor';
import type { ConformanceSetup, GuestCalls, GuestPlaces } from '@heki/hypervisor/conformance';
import type { Gfn, Gpa, VirtualAddress } from '@heki/physical-memory';
import type { Exception, Vcpu } from '@heki/vcpu';
import { CR0, CR4 } from '@heki/x86';
import { rawRange } from '../attributes/rights.ts';
import type { KvmEvent } from '../event.ts';
import type { EmulationResult } from '../exit/emulator.ts';
import { createKvm } from '../kvm.ts';
import type { KvmOptions } from '../options.ts';
import type { KvmPolicyOptions } from '../policy/options.ts';
import type { KvmPolicyMachine } from '../policy/policy-machine.ts';
import type { KvmVirtualMachine } from '../virtual-machine.ts';
import { carrySlots, kvmLives, policyLives } from './lives.ts';
import { tablesInKit } from './nested-tables.ts';

/** The kit's set-up for KVM: hypercalls 13 and 14, its emulator, and what a hostile guest sends. */
export function kvmSetup(options: KvmOptions): ConformanceSetup<KvmVirtualMachine, KvmEvent> {
  const hypervisor = createKvm({ budget: { listPages: 64 }, ...options });
  return {
    hypervisor,
    lives: kvmLives,
    carry: carrySlots,
    guestCalls: (places) => {
      const { vm } = places;
      const emulator: GuestCalls['emulator'] = {
        movToCr: (vcpu, register, value) => exceptionOf(vm.emulateMovToCr(vcpu, register, value)),
        store: (vcpu, gpa, bytes) => exceptionOf(vm.emulateStore(vcpu, gpa, bytes)),
      };
      const nested = (vcpu: Vcpu): boolean => vm.enterNested(vcpu, tablesInKit(places, vcpu));
      return { ...kvmGuestCalls(places), emulator, nested };
    },
  };
}

function exceptionOf(result: EmulationResult): Exception | undefined {
  return result.kind === 'completed' ? undefined : result.exception;
}

/** The kit's set-up for a KVM whose rights have an owner that can say more than the guest's page lists do. */
export function policySetup<Machine extends KvmPolicyMachine>(
  create: (options: KvmPolicyOptions) => Hypervisor<Machine, KvmEvent>,
  options: KvmPolicyOptions = {},
): ConformanceSetup<Machine, KvmEvent> {
  const asksFor = (wanted: Rights): Rights => ({ ...wanted, userExecute: true });
  const bounded = { budget: { listPages: 64 }, ...options };
  return {
    hypervisor: create(bounded),
    lives: policyLives,
    deciding(verdict) {
      // An owner outside cannot have an instruction carried out for the guest.
      if (verdict === 'allow-once') throw new Error('KVM_RUN has no such answer');
      return create({ ...bounded, policy: { denied: () => verdict } });
    },
    guestCalls: (places) => {
      const calls = kvmGuestCalls(places);
      return {
        ...calls,
        asksFor,
        endOfBoot: (vcpu) => hypercall(vcpu, KvmHypercall.HEKI_END_OF_BOOT),
        malformed: [
          ...calls.malformed,
          {
            name: 'the end of boot said by user code',
            run() {
              places.vcpu.registers.cpl = 3;
              return hypercall(places.vcpu, KvmHypercall.HEKI_END_OF_BOOT);
            },
          },
        ],
      };
    },
  };
}

/** Whether the answer in RAX is 0. */
function hypercall(cpu: Vcpu, number: number, ...args: (number | bigint)[]): boolean {
  const [rbx = 0n, rcx = 0n, rdx = 0n, rsi = 0n] = args.map(BigInt);
  Object.assign(cpu.registers, { rax: BigInt(number), rbx, rcx, rdx, rsi });
  return cpu.vmcall().kind === 'done' && cpu.registers.rax === 0n;
}

function kvmGuestCalls({
  vm,
  vcpu,
  memory,
  backing,
  scratch,
  directMap,
}: GuestPlaces<VirtualMachine>): GuestCalls {
  const list = scratch * 4096;
  /** A list page of raw words: header, then start, end, permissions of each entry. */
  const raw = (next: bigint, count: bigint, ...entries: bigint[]): boolean => {
    const bytes = new Uint8Array(24 + entries.length * 8);
    const view = new DataView(bytes.buffer);
    for (const [i, word] of [0n, next, count, ...entries].entries()) view.setBigUint64(i * 8, word, true);
    vm.write('vmm', list as Gpa, bytes);
    return hypercall(vcpu, 14, list);
  };
  const good = [0x20_0000n, 0x20_1000n, 1n];
  return {
    request(cpu, ranges: readonly ProtectionRange[]) {
      const address = encodePageList({
        memory: {
          page: (gfn: Gfn) => memory.page((backing + gfn) as typeof backing),
          writablePage: (gfn: Gfn) => memory.writablePage((backing + gfn) as typeof backing),
        },
        frames: Array.from({ length: Math.ceil(ranges.length / 169) }, (_, i) => (scratch + i) as Gfn),
        ranges: ranges.map((range) => ({
          start: range.start,
          end: range.end,
          permissions: rawRange(range).permissions,
        })),
        directMap: directMap as VirtualAddress,
      });
      return hypercall(cpu, 14, address);
    },
    pin: (cpu, register, bits) => hypercall(cpu, 13, register, bits),
    malformed: [
      { name: 'a list at no memory', run: () => hypercall(vcpu, 14, 0x7000_0000_0000) },
      { name: 'a list that is not page-aligned', run: () => hypercall(vcpu, 14, list + 8) },
      { name: 'a list that goes on at no memory', run: () => raw(0x7000_0000_0000n, 1n, ...good) },
      { name: 'a list that leads back to itself', run: () => raw(BigInt(list), 1n, ...good) },
      { name: '170 entries in a page', run: () => raw(0n, 170n, ...good) },
      { name: 'a count whose product wraps', run: () => raw(0n, 3n << 61n, ...good) },
      { name: 'a range of all memory and more', run: () => raw(0n, 1n, 0n, (1n << 64n) - 4096n, 3n) },
      { name: 'a range outside memory', run: () => raw(0n, 1n, 0x2_0000_0000n, 0x2_0000_1000n, 1n) },
      { name: 'a bad range behind a good one', run: () => raw(0n, 2n, ...good, 0x20_1800n, 0x20_3000n, 1n) },
      {
        name: 'an empty range behind a good one',
        run: () => raw(0n, 2n, ...good, 0x20_1000n, 0x20_1000n, 1n),
      },
      { name: 'no rights at all', run: () => raw(0n, 1n, 0x20_0000n, 0x20_1000n, 0n) },
      { name: 'rights that do not exist', run: () => raw(0n, 1n, 0x20_0000n, 0x20_1000n, 16n) },
      { name: 'write without read', run: () => raw(0n, 1n, 0x20_0000n, 0x20_1000n, 2n) },
      { name: 'a pin of a register that cannot be pinned', run: () => hypercall(vcpu, 13, 3, 1) },
      {
        name: 'a range that wraps around the end of all addresses',
        run: () => raw(0n, 1n, (1n << 64n) - 4096n, 0x20_1000n, 1n),
      },
      {
        name: 'rights in the upper half of their word',
        run: () => raw(0n, 1n, 0x20_0000n, 0x20_1000n, 1n << 32n),
      },
      {
        name: 'a list of user code',
        run() {
          vcpu.registers.cpl = 3;
          return raw(0n, 1n, ...good);
        },
      },
      {
        name: 'a pin of user code',
        run() {
          vcpu.registers.cpl = 3;
          return hypercall(vcpu, 13, 0, CR0.WP);
        },
      },
      {
        name: 'a pin of a register whose number is cut',
        run: () => hypercall(vcpu, 13, (1n << 32n) + 4n, CR4.SMEP),
      },
      { name: 'a pin of bits that cannot be pinned', run: () => hypercall(vcpu, 13, 4, CR4.SMEP | CR4.PGE) },
      { name: 'a pin of CR0 without WP', run: () => hypercall(vcpu, 13, 0, CR0.NE) },
      { name: 'a hypercall that does not exist', run: () => hypercall(vcpu, 0x7fff, list) },
      { name: 'a pin of nothing', run: () => hypercall(vcpu, 13, 4, 0) },
      { name: 'a pin with unknown flags', run: () => hypercall(vcpu, 13, 4, 1n << 20n, 2) },
    ],
  };
}
